// How soon the system runs a thread that has something to do.
#pragma once

namespace lf_cpu {

// Asks the system to run the calling thread soon after it wakes, ahead of threads that compute all the while; threads and
// processes that it begins don't have this from it. What is not granted is done without.
void run_soon();

// The same to the priority that it has: it only need not wait for its turn.
void wake_soon();

}  // namespace lf_cpu
