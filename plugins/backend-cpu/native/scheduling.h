// How soon the system runs a thread that has something to do.
#pragma once

namespace lf_cpu {

// Asks the system to run the calling thread soon after it wakes, ahead of threads that compute all the while. What is not
// granted is done without.
void run_soon();

// The same of a thread that waits for such work, to the same priority as before: it only need not wait for its turn.
void wake_soon();

// Undoes that for a thread that computes all the while, which has it from the thread that began it.
void run_in_turn();

}  // namespace lf_cpu
