// Bytes that each kernel moved, for tests that compare them with the model of bench and docs.
#pragma once
#include "simt.h"

namespace fake {
void record_traffic(const char* kernel, const simt::Traffic& traffic);
}

extern "C" {
// A JSON object {"kernel": {"launches": n, "read": bytes, "written": bytes, "shared": bytes}, ...} since the last call. The
// string lives until the next call.
__attribute__((visibility("default"))) const char* lf_emulator_traffic(void);
// Seeds the order in which threads run.
__attribute__((visibility("default"))) void lf_emulator_seed(unsigned long long seed);
}
