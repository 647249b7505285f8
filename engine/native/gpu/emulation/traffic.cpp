#include "traffic.h"

#include "fake_driver.h"

#include <cstdio>
#include <map>
#include <mutex>
#include <string>

namespace {

struct Sum {
  uint64_t launches = 0;
  simt::Traffic traffic;
};
std::mutex g_mutex;
std::map<std::string, Sum>& sums() {
  static auto* const all = new std::map<std::string, Sum>;
  return *all;
}

}  // namespace

namespace fake {

void record_traffic(const char* kernel, const simt::Traffic& traffic) {
  std::lock_guard<std::mutex> lock(g_mutex);
  Sum& sum = sums()[kernel];
  sum.launches++;
  sum.traffic.global_read += traffic.global_read;
  sum.traffic.global_written += traffic.global_written;
  sum.traffic.shared += traffic.shared;
  sum.traffic.sectors += traffic.sectors;
}

}  // namespace fake

const char* lf_emulator_traffic(void) {
  std::lock_guard<std::mutex> lock(g_mutex);
  static std::string text;
  text = "{";
  for (const auto& [kernel, sum] : sums()) {
    char row[256];
    snprintf(row, sizeof row, "%s\"%s\":{\"launches\":%llu,\"read\":%llu,\"written\":%llu,\"shared\":%llu,\"sectors\":%llu}", text.size() > 1 ? "," : "",
             kernel.c_str(), (unsigned long long)sum.launches, (unsigned long long)sum.traffic.global_read,
             (unsigned long long)sum.traffic.global_written, (unsigned long long)sum.traffic.shared,
             (unsigned long long)sum.traffic.sectors);
    text += row;
  }
  text += "}";
  sums().clear();
  return text.c_str();
}

unsigned long long lf_emulator_graph_launches(void) { return fake::graph_launches(); }
unsigned long long lf_emulator_library_calls(void) { return fake::host_works(); }

void lf_emulator_seed(unsigned long long seed) { simt::seed(seed); }
