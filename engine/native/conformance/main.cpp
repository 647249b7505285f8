// The conformance kit: runs every op of a backend against plain references in double precision.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "checks.h"
#include "run_case.h"

using namespace conformance;

namespace {

constexpr const char* kUsage =
    "usage: conformance BACKEND.so [--op NAME] [--seed N] [--cases N] [--isa LEVEL] [--allow-unsupported] [--perturb] [--list]\n"
    "       conformance --gradients [--seed N]\n"
    "\n"
    "Runs every op of the backend on random operands and compares with references in double precision; then gives it\n"
    "commands that are wrong. Exits with 1 when something differs, fails or is missing.\n"
    "\n"
    "  --op NAME            this op alone, or \"protocol\" or \"fuzz\"\n"
    "  --cases N            per op (60)\n"
    "  --seed N             of the cases (1); a case is named by its op, seed and number\n"
    "  --isa LEVEL          forces an instruction set level\n"
    "  --perturb            makes the references wrong on purpose: every op must then fail\n"
    "  --allow-unsupported  an op that the backend lacks is no failure\n"
    "  --list               the names of the ops\n"
    "  --gradients          checks the backward references against differences of the forward ones\n";

struct Options {
  const char* backend = nullptr;
  std::string op;
  std::string isa;
  uint64_t seed = 1;
  int cases = 60;
  bool allow_unsupported = false, perturb = false, gradients = false, list = false;
};

bool parse(int count, char** arguments, Options& options) {
  for (int i = 1; i < count; i++) {
    const std::string name = arguments[i];
    const char* value = i + 1 < count ? arguments[i + 1] : nullptr;
    auto take = [&] {
      i++;
      return value;
    };
    if (name == "--allow-unsupported") options.allow_unsupported = true;
    else if (name == "--perturb") options.perturb = true;
    else if (name == "--gradients") options.gradients = true;
    else if (name == "--list") options.list = true;
    else if (name == "--op" && value) options.op = take();
    else if (name == "--isa" && value) options.isa = take();
    else if (name == "--seed" && value) options.seed = strtoull(take(), nullptr, 10);
    else if (name == "--cases" && value) options.cases = atoi(take());
    else if (name[0] != '-' && !options.backend) options.backend = arguments[i];
    else return false;
  }
  return options.backend || options.gradients || options.list;
}

struct Totals {
  int failed = 0;
  std::string unsupported;
};

void run_suite(const Suite& suite, const Options& options, const std::vector<Session*>& sessions, Totals& totals) {
  if (!knows_op(*sessions.front(), suite.op)) {
    printf("%-24s not supported\n", suite.name);
    totals.unsupported += std::string(totals.unsupported.empty() ? "" : ", ") + suite.name;
    return;
  }
  int refused = 0, failed = 0;
  double worst = 0.0, largest_error = 0.0;
  for (int i = 0; i < options.cases; i++) {
    Random random(options.seed * 1000003u + suite.op * 7919u + static_cast<uint64_t>(i) * 104729u);
    const Case test = suite.make(random);
    const Verdict verdict = run_case(sessions, suite, test, options.perturb);
    worst = std::max(worst, verdict.worst);
    largest_error = std::max(largest_error, verdict.largest_error);
    refused += verdict.refused;
    if (verdict.failure.empty()) continue;
    if (++failed <= 3) printf("  case %d: %s\n", i, verdict.failure.c_str());
  }
  printf("%-24s %4d cases  max error %.1e (%.2f of what is allowed)", suite.name, options.cases, largest_error, worst);
  if (refused) printf("  %d not supported", refused);
  if (failed) printf("  %d FAILED", failed);
  printf("\n");
  totals.failed += failed > 0;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  if (!parse(count, arguments, options)) {
    fputs(kUsage, stderr);
    return 2;
  }
  setvbuf(stdout, nullptr, _IOLBF, 0);
  if (options.list) {
    for (const Suite& suite : suites()) printf("%s\n", suite.name);
    return 0;
  }
  if (options.gradients) return check_gradients(options.seed) ? 0 : 1;
  const lf_backend* backend = load_backend(options.backend);
  const char* isa = options.isa.empty() ? nullptr : options.isa.c_str();
  // One thread and, whatever the machine has, several: their results must agree to the bit.
  Session one(backend, 1, isa), three(backend, 3, isa);
  const std::vector<Session*> sessions{&one, &three};
  const lf_device_properties properties = one.properties();
  printf("%s %s: %s, %s\n", backend->name, backend->version, properties.name, properties.isa);
  Totals totals;
  bool found = false;
  for (const Suite& suite : suites()) {
    if (!options.op.empty() && options.op != suite.name) continue;
    found = true;
    run_suite(suite, options, sessions, totals);
  }
  if (options.op.empty() || options.op == "protocol") found = true, totals.failed += !check_protocol(one, options.seed);
  if (options.op.empty() || options.op == "fuzz") found = true, totals.failed += !check_fuzz(three, options.seed, options.cases);
  if (!found) {
    fprintf(stderr, "there is no op %s; --list names them\n", options.op.c_str());
    return 2;
  }
  if (!totals.unsupported.empty()) printf("not supported: %s\n", totals.unsupported.c_str());
  return totals.failed || (!totals.unsupported.empty() && !options.allow_unsupported);
}
