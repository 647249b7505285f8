// What backend.h says of buffers, handles, errors, events, files and streams.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>

#include "checks.h"
#include "run_case.h"

namespace conformance {

bool knows_op(Session& session, uint32_t op) {
  for (const Suite& suite : suites()) {
    if (suite.op != op) continue;
    // Known when at least one of some commands is not refused as such.
    for (uint64_t i = 0; i < 8; i++) {
      Random random(i);
      const Case test = suite.make(random);
      std::vector<lf_tensor> tensors;
      for (const Operand& operand : test.operands) tensors.push_back(describe(operand, 1));
      std::vector<uint8_t> stream;
      encode(stream, op, test.params.words, tensors);
      if (session.supports(stream).status != LF_UNSUPPORTED) return true;
    }
  }
  return false;
}

namespace {

class Protocol {
 public:
  Protocol(Session& session, uint64_t seed) : session_(session), random_(seed) {}

  bool run() {
    writes();
    handles();
    ranges();
    streams();
    errors_in_order();
    frees_in_order();
    events();
    memory();
    files();
    overlaps();
    printf("%-24s %4d checks", "protocol", checks_);
    if (failed_) printf("  %d FAILED", failed_);
    printf("\n");
    return failed_ == 0;
  }

 private:
  void expect(bool condition, const char* what) {
    checks_++;
    if (condition) return;
    failed_++;
    printf("  protocol: %s\n", what);
  }
  void expect(const Outcome& outcome, lf_status status, const char* what) {
    expect(outcome.status == status && (status == LF_OK || !outcome.message.empty()), what);
    if (outcome.status != status) printf("    got status %d: %s\n", outcome.status, outcome.message.c_str());
  }

  static lf_tensor vector_of(uint32_t buffer, lf_dtype dtype, uint32_t n, uint64_t offset = 0) {
    lf_tensor t{};
    t.buffer = buffer;
    t.dtype = static_cast<uint8_t>(dtype);
    t.rank = 1;
    t.offset = offset;
    t.shape[0] = n;
    t.stride[0] = 1;
    return t;
  }
  static std::vector<uint8_t> fill(uint32_t buffer, float value, uint32_t n, uint64_t offset = 0) {
    std::vector<uint8_t> stream;
    encode(stream, LF_OP_FILL, {float_bits(value)}, {vector_of(buffer, LF_F32, n, offset)});
    return stream;
  }
  float first_float(uint32_t buffer) {
    std::vector<uint8_t> bytes(4);
    float value = -1.0f;
    if (session_.read(buffer, bytes).ok()) memcpy(&value, bytes.data(), 4);
    return value;
  }

  void writes() {
    const uint32_t buffer = session_.alloc(64);
    std::vector<uint32_t> params{10};
    for (uint32_t i = 0; i < 3; i++) params.push_back(0x03020100u + 0x04040404u * i);
    std::vector<uint8_t> stream = fill(buffer, 0.0f, 16);
    encode(stream, LF_OP_WRITE, params, {vector_of(buffer, LF_U8, 10, 5)});
    expect(session_.run(stream), LF_OK, "WRITE runs");
    std::vector<uint8_t> bytes(64);
    expect(session_.read(buffer, bytes), LF_OK, "a buffer can be read");
    bool right = true;
    for (int i = 0; i < 64; i++) right &= bytes[static_cast<size_t>(i)] == (i >= 5 && i < 15 ? i - 5 : 0);
    expect(right, "WRITE writes its bytes, and no others");
    params[0] = 65;
    stream.clear();
    encode(stream, LF_OP_WRITE, params, {vector_of(buffer, LF_U8, 10)});
    expect(session_.run(stream), LF_INVALID, "WRITE of more bytes than the command holds is refused");
    session_.free(buffer);
  }

  void handles() {
    const lf_backend* b = session_.backend();
    const uint32_t buffer = session_.alloc(100);
    expect(buffer != 0, "a handle is not 0");
    uint64_t size = 0;
    expect(session_.take(b->buffer_size(session_.device(), buffer, &size)), LF_OK, "buffer_size of a buffer");
    expect(size == 100, "buffer_size gives what was asked for");
    session_.free(buffer);
    expect(session_.take(b->buffer_size(session_.device(), buffer, &size)), LF_INVALID, "buffer_size of a freed buffer");
    expect(session_.take(b->buffer_free(session_.device(), buffer)), LF_INVALID, "a buffer is freed twice");
    expect(session_.take(b->buffer_free(session_.device(), 0)), LF_INVALID, "handle 0 is freed");
    std::vector<uint8_t> bytes(4);
    expect(session_.read(buffer, bytes), LF_INVALID, "a freed buffer is read");
    expect(session_.write(buffer, bytes), LF_INVALID, "a freed buffer is written");
    expect(session_.run(fill(buffer, 1.0f, 4)), LF_INVALID, "a command names a freed buffer");
    for (int i = 0; i < 3000; i++) {
      const uint32_t other = session_.alloc(8);
      if (other == buffer) expect(false, "a stale handle names a new buffer");
      session_.free(other);
    }
    uint32_t handle;
    expect(session_.take(b->buffer_alloc(session_.device(), 0, &handle)), LF_INVALID, "a buffer of 0 bytes");
  }

  void ranges() {
    const uint32_t buffer = session_.alloc(64);
    std::vector<uint8_t> bytes(65);
    expect(session_.read(buffer, bytes), LF_INVALID, "more bytes are read than the buffer has");
    expect(session_.write(buffer, bytes), LF_INVALID, "more bytes are written than the buffer has");
    expect(session_.run(fill(buffer, 1.0f, 17)), LF_INVALID, "an operand is longer than its buffer");
    expect(session_.run(fill(buffer, 1.0f, 16, 4)), LF_INVALID, "an operand ends behind its buffer");
    expect(session_.run(fill(buffer, 1.0f, 1, UINT64_MAX - 3)), LF_INVALID, "an offset overflows");
    for (uint32_t stride : {16u, 0x40000000u, 0xffffffffu}) {
      lf_tensor t = vector_of(buffer, LF_F32, 2);
      t.stride[0] = stride;
      std::vector<uint8_t> stream;
      encode(stream, LF_OP_FILL, {0}, {t});
      expect(session_.run(stream), LF_INVALID, "a stride leads out of the buffer");
    }
    lf_tensor t = vector_of(buffer, LF_F32, 0xffffffffu);
    t.rank = 4;
    for (int d = 0; d < 4; d++) t.shape[d] = t.stride[d] = 0xffffffffu;
    std::vector<uint8_t> stream;
    encode(stream, LF_OP_FILL, {0}, {t});
    expect(session_.run(stream), LF_INVALID, "extents and strides overflow");
    session_.free(buffer);
  }

  void streams() {
    const uint32_t buffer = session_.alloc(64);
    const std::vector<uint8_t> whole = fill(buffer, 1.0f, 16);
    for (size_t length : {size_t{8}, size_t{16}, size_t{32}, whole.size() - 16, whole.size() - 1}) {
      expect(session_.run(std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length))), LF_INVALID,
             "a stream that is cut short");
    }
    auto with_header = [&](int word, uint32_t value) {
      std::vector<uint8_t> stream = whole;
      memcpy(stream.data() + 4 * word, &value, 4);
      return stream;
    };
    for (uint32_t bytes : {0u, 8u, 97u, 0x7ffffff0u, 0xfffffff0u}) {
      expect(session_.run(with_header(1, bytes)), LF_INVALID, "a command whose length is wrong");
    }
    for (uint32_t words : {5u, 0x3fffffffu, 0xffffffffu}) {
      expect(session_.run(with_header(2, words)), LF_INVALID, "a command whose number of parameters is wrong");
    }
    for (uint32_t count : {0u, 2u, 0x10000000u, 0xffffffffu}) {
      expect(session_.run(with_header(3, count)), LF_INVALID, "a command whose number of operands is wrong");
    }
    for (uint32_t op : {0u, 99u, 255u, 256u, 0xffffffffu}) {
      const Outcome outcome = session_.run(with_header(0, op));
      expect(outcome, LF_UNSUPPORTED, "an op that does not exist");
      expect(session_.supports(with_header(0, op)), LF_UNSUPPORTED, "`supports` of an op that does not exist");
    }
    expect(session_.run({}), LF_OK, "an empty stream");
    session_.free(buffer);
  }

  void errors_in_order() {
    const uint32_t buffer = session_.alloc(64);
    std::vector<uint8_t> stream = fill(buffer, 1.0f, 16);
    const size_t second = stream.size();
    std::vector<uint8_t> wrong;
    encode(wrong, LF_OP_COPY, {}, {vector_of(buffer, LF_F32, 4), vector_of(buffer, LF_F32, 5, 32)});
    stream.insert(stream.end(), wrong.begin(), wrong.end());
    const std::vector<uint8_t> third = fill(buffer, 2.0f, 16);
    stream.insert(stream.end(), third.begin(), third.end());
    const Outcome outcome = session_.run(stream);
    expect(outcome, LF_INVALID, "a failing command fails the flush");
    expect(outcome.command == second, "the error says where in the stream the command is");
    expect(outcome.op == LF_OP_COPY, "the error says which op it is");
    expect(first_float(buffer) == 1.0f, "commands before the failing one ran, those after it did not");
    expect(session_.run(fill(buffer, 3.0f, 16)), LF_OK, "after the error was delivered, work goes on");
    expect(first_float(buffer) == 3.0f, "what is submitted after the error runs");
    session_.free(buffer);
  }

  void frees_in_order() {
    const lf_backend* b = session_.backend();
    const uint32_t source = session_.alloc(4 << 20), target = session_.alloc(4 << 20);
    std::vector<uint8_t> stream = fill(source, 7.0f, 1 << 20);
    encode(stream, LF_OP_COPY, {}, {vector_of(source, LF_F32, 1 << 20), vector_of(target, LF_F32, 1 << 20)});
    expect(session_.take(b->queue_submit(session_.queue(), stream.data(), stream.size())), LF_OK, "work is submitted");
    session_.free(source);
    expect(session_.flush(), LF_OK, "a buffer that is freed after work was queued is still there for it");
    expect(first_float(target) == 7.0f, "the work on a buffer freed later is done");
    session_.free(target);
  }

  void events() {
    const lf_backend* b = session_.backend();
    lf_queue* other = nullptr;
    expect(session_.take(b->queue_create(session_.device(), &other)), LF_OK, "a second queue");
    const uint32_t buffer = session_.alloc(4 << 20);
    const std::vector<uint8_t> slow = fill(buffer, 5.0f, 1 << 20);
    for (int i = 0; i < 20; i++) b->queue_submit(session_.queue(), slow.data(), slow.size());
    lf_event* event = nullptr;
    expect(session_.take(b->event_record(session_.queue(), &event)), LF_OK, "an event is recorded");
    expect(session_.take(b->event_wait(other, event)), LF_OK, "the other queue waits for it");
    const std::vector<uint8_t> later = fill(buffer, 6.0f, 1);
    b->queue_submit(other, later.data(), later.size());
    lf_event* second = nullptr;
    expect(session_.take(b->event_record(other, &second)), LF_OK, "an event of the other queue");
    expect(session_.take(b->event_synchronize(second)), LF_OK, "the thread waits for it");
    expect(first_float(buffer) == 6.0f, "work behind an event runs after what the event stands for");
    b->event_free(event);
    b->event_free(second);
    const std::vector<uint8_t> wrong = fill(buffer, 1.0f, 2 << 20);
    b->queue_submit(session_.queue(), wrong.data(), wrong.size());
    expect(session_.take(b->event_record(session_.queue(), &event)), LF_OK, "an event behind a failing command");
    const Outcome outcome = session_.take(b->event_synchronize(event));
    expect(outcome, LF_INVALID, "the event carries the error");
    expect(outcome.op == LF_OP_FILL, "the event's error says which op failed");
    expect(session_.flush(), LF_OK, "the error was delivered by the event");
    b->event_free(event);
    b->queue_destroy(other);
    session_.free(buffer);
  }

  void memory() {
    const lf_backend* b = session_.backend();
    lf_memory_info before{}, after{};
    before.struct_size = after.struct_size = sizeof before;
    session_.flush();
    b->device_memory(session_.device(), &before);
    const uint32_t buffer = session_.alloc(1 << 20);
    b->device_memory(session_.device(), &after);
    expect(after.allocated == before.allocated + (1 << 20), "an allocation is counted");
    expect(after.peak >= after.allocated && after.total > 0, "the peak and the total are given");
    session_.free(buffer);
    session_.flush();
    b->device_memory(session_.device(), &after);
    expect(after.allocated == before.allocated, "a freed allocation is not counted any more");
    // A reader of an older version knows a shorter struct: what lies behind it is not touched.
    memset(&after, 0x5a, sizeof after);
    after.struct_size = offsetof(lf_memory_info, peak);
    b->device_memory(session_.device(), &after);
    expect(after.peak == 0x5a5a5a5a5a5a5a5au, "only what lies within struct_size is written");
    uint32_t handle;
    expect(session_.take(b->buffer_alloc(session_.device(), uint64_t{1} << 50, &handle)), LF_OUT_OF_MEMORY, "a petabyte");
    expect(session_.take(b->buffer_alloc(session_.device(), UINT64_MAX, &handle)), LF_OUT_OF_MEMORY, "2^64 - 1 bytes");
    lf_device_options options{};
    options.struct_size = sizeof options;
    options.memory_limit = 1 << 20;
    lf_device* limited = nullptr;
    expect(session_.take(b->device_open(0, &options, &limited)), LF_OK, "a device with a limit");
    if (!limited) return;
    expect(session_.take(b->buffer_alloc(limited, 600 << 10, &handle)), LF_OK, "an allocation within the limit");
    uint32_t second;
    expect(session_.take(b->buffer_alloc(limited, 600 << 10, &second)), LF_OUT_OF_MEMORY, "an allocation beyond the limit");
    expect(session_.take(b->buffer_free(limited, handle)), LF_OK, "the first is freed");
    expect(session_.take(b->buffer_alloc(limited, 600 << 10, &second)), LF_OK, "what was freed can be had again");
    b->device_close(limited);
    options.isa = "no-such-level";
    expect(!session_.take(b->device_open(0, &options, &limited)).ok(), "an unknown instruction set level is refused");
    expect(!session_.take(b->device_open(999, nullptr, &limited)).ok(), "a device that does not exist is refused");
  }

  void files() {
    const lf_backend* b = session_.backend();
    char path[] = "/tmp/largeforge-conformance-XXXXXX";
    const int file = mkstemp(path);
    std::vector<float> content(1 << 16);
    for (size_t i = 0; i < content.size(); i++) content[i] = static_cast<float>(i);
    const ssize_t size = static_cast<ssize_t>(content.size() * sizeof(float));
    expect(file >= 0 && write(file, content.data(), static_cast<size_t>(size)) == size, "a file is written");
    for (uint64_t offset : {uint64_t{0}, uint64_t{40}, uint64_t{4096}, uint64_t{12}}) {
      uint32_t mapped = 0;
      expect(session_.take(b->buffer_map_file(session_.device(), path, offset, 4000, &mapped)), LF_OK, "a range of a file");
      expect(first_float(mapped) == static_cast<float>(offset / 4), "a mapped buffer holds the file's bytes");
      expect(session_.run(fill(mapped, 1.0f, 1)), LF_INVALID, "a file's buffer is written by a command");
      expect(session_.write(mapped, {1, 2, 3, 4}), LF_INVALID, "a file's buffer is written from the host");
      session_.free(mapped);
    }
    uint32_t mapped = 0;
    auto map = [&](const char* name, uint64_t offset, uint64_t bytes) {
      return session_.take(b->buffer_map_file(session_.device(), name, offset, bytes, &mapped));
    };
    expect(map(path, 0, static_cast<uint64_t>(size) + 1), LF_IO, "more than the file has");
    expect(map(path, UINT64_MAX, 1), LF_IO, "an offset behind the file");
    expect(map(path, 0, 0), LF_INVALID, "an empty range");
    expect(map("/no/such/file", 0, 4), LF_IO, "a file that does not exist");
    expect(map("/tmp", 0, 4), LF_IO, "a folder");
    expect(map(path, 0, static_cast<uint64_t>(size)), LF_OK, "the whole file");
    // The file is cut while it is mapped. A backend that copies it in does not mind.
    expect(ftruncate(file, 4096) == 0, "the file is cut");
    const uint32_t target = session_.alloc(static_cast<uint64_t>(size));
    const uint32_t count = static_cast<uint32_t>(content.size());
    std::vector<uint8_t> stream;
    encode(stream, LF_OP_COPY, {}, {vector_of(mapped, LF_F32, count), vector_of(target, LF_F32, count)});
    const Outcome outcome = session_.run(stream);
    expect(outcome.ok() || outcome.status == LF_IO, "a file that was cut is an error, not the end of the process");
    if (outcome.status == LF_IO) expect(outcome.message.find(path) != std::string::npos, "the error names the file");
    expect(session_.run(fill(target, 9.0f, 4)), LF_OK, "work on other buffers goes on");
    session_.free(target);
    session_.free(mapped);
    session_.flush();
    close(file);
    unlink(path);
  }

  // What says where to read and write must not be written by the same command.
  void overlaps() {
    const uint32_t buffer = session_.alloc(4096);
    lf_tensor table = vector_of(buffer, LF_F32, 4), out = vector_of(buffer, LF_F32, 2, 1024);
    table.rank = out.rank = 2;
    table.shape[1] = out.shape[1] = table.stride[0] = out.stride[0] = 8;
    table.stride[1] = out.stride[1] = 1;
    const std::vector<uint32_t> params{float_bits(1.0f), 0};
    std::vector<uint8_t> stream;
    encode(stream, LF_OP_WRITE, {8, 1, 2}, {vector_of(buffer, LF_I32, 2, 1024 + 32)});
    encode(stream, LF_OP_EMBEDDING, params, {vector_of(buffer, LF_I32, 2, 1024 + 32), table, out});
    const Outcome outcome = session_.run(stream);
    expect(outcome.status == LF_INVALID || outcome.ok(), "indices that the command overwrites");
    session_.free(buffer);
  }

  Session& session_;
  Random random_;
  int checks_ = 0, failed_ = 0;
};

}  // namespace

bool check_protocol(Session& session, uint64_t seed) { return Protocol(session, seed).run(); }

}  // namespace conformance
