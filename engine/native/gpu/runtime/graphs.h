// Graphs for streams of commands that come again and again, as those of decoding do: the device gets all of a step's kernels at
// once. A stream is recorded anew each time, and the graph of the time before is given the new arguments, so that nothing
// in it can be out of date.
#pragma once
#include <cstdint>
#include <deque>
#include <vector>

#include "driver.h"

namespace lf_gpu {

class Graphs {
 public:
  explicit Graphs(Driver& driver);
  ~Graphs();
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;

  // Whether commands like these, long enough to be worth it, came before. Not 0: what `launch` takes.
  uint64_t recognise(const std::vector<uint8_t>& commands);
  // Starts to record what is handed to the stream. False where that is not to be had.
  bool begin(Stream stream);
  // Ends the recording and launches it. When that fails nothing was launched, and no more streams are recognised.
  Driver::Status launch(uint64_t recognised, Stream stream);

 private:
  struct Known {
    uint64_t signature;
    GraphExec exec;  // null until it came a second time
  };
  Driver::Status refresh(Known& known, Graph graph);

  Driver& driver_;
  bool enabled_;
  std::deque<Known> known_;  // the oldest first
};

}  // namespace lf_gpu
