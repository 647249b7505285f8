// A driver's shared library, looked up at run time.
#pragma once
#include <dlfcn.h>

#include <string>

namespace lf_gpu {

class Library {
 public:
  // The first of the names that loads; `reason` collects why the others did not.
  bool open(std::initializer_list<const char*> names, std::string* reason) {
    for (const char* name : names) {
      handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (handle_) return true;
      const char* why = dlerror();
      if (!reason->empty()) *reason += "; ";
      *reason += why ? why : name;
    }
    return false;
  }
  // False, with the symbol's name in `missing`, when the library lacks it.
  template <typename F>
  bool find(F*& function, const char* name, std::string* missing) const {
    function = reinterpret_cast<F*>(dlsym(handle_, name));
    if (!function) *missing = name;
    return function != nullptr;
  }

 private:
  void* handle_ = nullptr;  // never closed: drivers don't take that well
};

}  // namespace lf_gpu
