// Reads calls of launchers from standard input until it ends, makes each, and writes what they left to standard output.
//
//   call     name, arguments, count of pointers (uint32), pointers
//   text     length (uint32), bytes; so are the name and the arguments, which are the bytes of the launcher's struct
//   pointer  field's name, its offset in the struct (uint32), kind (uint32: 0 input, 1 output, 2 output that holds
//            something before), size (uint64), offset from 256-byte alignment (uint32), and bytes unless kind is 1
//   answer   the struct's bytes, then every output's
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "launchers.h"

#ifdef EMULATION_ADDRESS
#include <sanitizer/asan_interface.h>
#endif

namespace {

constexpr size_t kAlignment = 256;  // of what torch's allocator returns, at least
constexpr unsigned char kUnwritten = 0xff;  // a NaN in every floating type

int number_of_calls = 0;

[[noreturn]] void fail(const std::string& call, const std::string& what) {
  fprintf(stderr, "emulation: %s: %s\n", call.c_str(), what.c_str());
  exit(1);
}

bool read_all(void* to, size_t size) { return fread(to, 1, size, stdin) == size; }

template <typename T>
T number() {
  T value;
  if (!read_all(&value, sizeof value)) fail("the request", "ends early");
  return value;
}

std::string text() {
  std::string text(number<uint32_t>(), '\0');
  if (!read_all(text.data(), text.size())) fail("the request", "ends early");
  return text;
}

// Memory of exactly the size asked for: what lies before and behind it is not to be touched.
class Buffer {
 public:
  Buffer(std::string field, uint32_t kind, size_t size, size_t shift)
      : field_(std::move(field)), output_(kind != 0), size_(size), shift_(shift) {
    if (posix_memalign(reinterpret_cast<void**>(&base_), kAlignment, shift + size) != 0) fail(field_, "out of memory");
    std::memset(base_, kUnwritten, shift + size);
    if (kind != 1 && !read_all(base_ + shift, size)) fail(field_, "the request ends early");
    before_.assign(base_, base_ + shift + size);
#ifdef EMULATION_ADDRESS
    ASAN_POISON_MEMORY_REGION(base_, shift / 8 * 8);  // of what lies before, as much as its shadow can tell
#endif
  }
  void* data() { return base_ + shift_; }

  void finish(const std::string& call) {
#ifdef EMULATION_ADDRESS
    ASAN_UNPOISON_MEMORY_REGION(base_, shift_);
#endif
    const size_t kept = output_ ? shift_ : shift_ + size_;
    if (!std::equal(before_.begin(), before_.begin() + kept, base_))
      fail(call, (output_ ? "wrote in front of its output " : "wrote to its input ") + field_);
    if (output_) fwrite(base_ + shift_, 1, size_, stdout);
    free(base_);
  }

 private:
  std::string field_;
  bool output_;
  size_t size_, shift_;
  unsigned char* base_ = nullptr;
  std::vector<unsigned char> before_;
};

void make_call(const std::string& name) {
  std::string arguments = text();
  const auto launcher = launchers.find(name);
  if (launcher == launchers.end()) fail(name, "no such launcher");
  if (launcher->second.arguments_bytes != arguments.size()) fail(name, "the request and the build disagree on its struct");
  std::vector<Buffer> buffers;
  for (uint32_t n = number<uint32_t>(); n > 0; --n) {
    const std::string field = text();
    const auto offset = number<uint32_t>(), kind = number<uint32_t>();
    const auto size = number<uint64_t>();
    buffers.emplace_back(field, kind, size, number<uint32_t>());
    void* const data = buffers.back().data();
    std::memcpy(arguments.data() + offset, &data, sizeof data);
  }
  fprintf(stderr, "emulation: call %d, %s\n", number_of_calls++, name.c_str());
  std::vector<std::max_align_t> aligned(arguments.size() / sizeof(std::max_align_t) + 1);
  std::memcpy(aligned.data(), arguments.data(), arguments.size());
  try {
    launcher->second.run(aligned.data());
  } catch (const std::exception& error) {
    fail(name, error.what());
  }
  fwrite(aligned.data(), 1, arguments.size(), stdout);
  for (Buffer& buffer : buffers) buffer.finish(name);
}

}  // namespace

int main() {
  for (uint32_t length; fread(&length, sizeof length, 1, stdin) == 1;) {
    std::string name(length, '\0');
    if (!read_all(name.data(), length)) fail("the request", "ends early");
    make_call(name);
  }
}
