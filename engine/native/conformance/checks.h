// What the kit checks beside the results of ops.
#pragma once
#include <cstdint>

#include "session.h"

namespace conformance {

// Whether the backend has the op at all.
bool knows_op(Session& session, uint32_t op);
// Buffers, handles, errors, events, files and malformed commands behave as backend.h says. Prints what does not.
bool check_protocol(Session& session, uint64_t seed);
// Mutated commands are refused or run, and the process survives. `cases` mutations of each op.
bool check_fuzz(Session& session, uint64_t seed, int cases);
// The backward references are the gradients of the forward ones.
bool check_gradients(uint64_t seed);

}  // namespace conformance
