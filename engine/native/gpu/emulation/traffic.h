// Bytes that each kernel moved, for tests that compare them with the model of bench and docs.
#pragma once
#include "simt.h"

namespace fake {
void record_traffic(const char* kernel, const simt::Traffic& traffic);
}

extern "C" {
// A JSON object {"kernel": {"launches": n, "read": bytes, "written": bytes, "shared": bytes, "sectors": n}, ...} since the last
// call. The string lives until the next call.
__attribute__((visibility("default"))) const char* lf_emulator_traffic(void);
// How many graphs were launched so far.
__attribute__((visibility("default"))) unsigned long long lf_emulator_graph_launches(void);
// How many products the vendor's library was given so far.
__attribute__((visibility("default"))) unsigned long long lf_emulator_library_calls(void);
// Seeds the order in which threads run.
__attribute__((visibility("default"))) void lf_emulator_seed(unsigned long long seed);
}
