// Fibers and their turns. Compiled without instrumentation: what happens here is the machine, not the program.
#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "cuda_runtime.h"

#ifdef EMULATION_ADDRESS
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef EMULATION_THREAD
#include <sanitizer/tsan_interface.h>
#endif

namespace pumpgan {
thread_local float4 dynamic_shared_memory[emulation::kSharedBytes / sizeof(float4)];  // see common/cuda_kernel.h
}  // namespace pumpgan

dim3 gridDim, blockDim;

namespace emulation {
namespace {

#ifdef EMULATION_THREAD
constexpr unsigned kWorkers = 2;
void happens_before(void* place) { __tsan_release(place); }
void happens_after(void* place) { __tsan_acquire(place); }
#else
constexpr unsigned kWorkers = 1;
void happens_before(void*) {}
void happens_after(void*) {}
#endif

constexpr size_t kStackBytes = 256 * 1024;  // room for a sanitizer to write its report

enum class Waits { no, for_block, for_warp };

struct Fiber {
  ucontext_t context;
  void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#ifdef EMULATION_THREAD
  void* identity = __tsan_create_fiber(0);
#endif
  Position position;
  unsigned number;  // in the block
  bool ended;
  Waits waits;
  unsigned mask;
  uint64_t brought;
  Gathered gathered;
  unsigned syncs = 0;
  char clocks[2];  // addresses that stand for what this fiber did before its last sync_warp, and the one before
};

// A thread of the operating system that runs blocks one after another.
class Worker {
 public:
  void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body, unsigned first, unsigned step);
  Fiber& current() { return *current_; }
  unsigned barrier_turn() const { return barriers_ % 2; }
  void arrive_at_barrier();
  void arrive_at_warp(unsigned mask, uint64_t value);
  void* barrier_clock(unsigned turn) { return &barrier_clocks_[turn]; }

 private:
  void run_block();
  void start(Fiber& fiber);
  void resume(Fiber& fiber);
  void leave(bool for_good);
  void end();
  void release_barrier_if_complete();
  void release_warp_if_complete(unsigned warp, unsigned mask);
  [[noreturn]] void report_deadlock();
  static void entry();

  std::vector<std::unique_ptr<Fiber>> fibers_;
  Fiber* current_ = nullptr;
  unsigned size_ = 0, live_ = 0, arrived_ = 0, barriers_ = 0;
  const std::function<void()>* body_ = nullptr;
  ucontext_t scheduler_;
  char started_, done_, barrier_clocks_[2];  // addresses that stand for a moment: what came before, what comes after
#ifdef EMULATION_ADDRESS
  void* fake_stack_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
#endif
#ifdef EMULATION_THREAD
  void* scheduler_identity_ = nullptr;
#endif
};

thread_local Worker* worker = nullptr;

// All thread_local variables of the program are __shared__ ones, but for `worker`.
void poison_shared_memory() {
  Worker* const kept = worker;
  dl_iterate_phdr(
      [](dl_phdr_info* module, size_t, void*) {
        for (int i = 0; i < module->dlpi_phnum; ++i) {
          if (module->dlpi_phdr[i].p_type != PT_TLS) continue;
          volatile uint64_t* words = static_cast<volatile uint64_t*>(module->dlpi_tls_data);
          for (size_t k = 0; k < module->dlpi_phdr[i].p_memsz / sizeof *words; ++k) words[k] = ~uint64_t(0);
        }
        return 1;  // the first module is the program itself
      },
      nullptr);
  worker = kept;
}

void Worker::run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body, unsigned first,
                 unsigned step) {
  worker = this;
  body_ = &body;
  size_ = block.x * block.y * block.z;
  while (fibers_.size() < size_) fibers_.push_back(std::make_unique<Fiber>());
#ifdef EMULATION_THREAD
  scheduler_identity_ = __tsan_get_current_fiber();
#endif
#ifdef EMULATION_ADDRESS
  const auto shared = reinterpret_cast<char*>(pumpgan::dynamic_shared_memory);
  __asan_poison_memory_region(shared + shared_bytes, kSharedBytes - shared_bytes);
#endif
  for (uint64_t b = first; b < uint64_t(grid.x) * grid.y * grid.z; b += step) {
    for (unsigned t = 0; t < size_; ++t) {
      fibers_[t]->number = t;
      fibers_[t]->position = {{t % block.x, t / block.x % block.y, t / block.x / block.y},
                              {unsigned(b % grid.x), unsigned(b / grid.x % grid.y), unsigned(b / grid.x / grid.y)},
                              t % kWarpSize};
    }
    run_block();
  }
#ifdef EMULATION_ADDRESS
  __asan_unpoison_memory_region(shared, kSharedBytes);
#endif
}

void Worker::run_block() {
  poison_shared_memory();
  live_ = size_;
  arrived_ = 0;
  happens_before(&started_);
  for (unsigned t = 0; t < size_; ++t) start(*fibers_[t]);
  while (live_ > 0) {
    bool moved = false;
    for (unsigned t = 0; t < size_; ++t) {
      if (fibers_[t]->ended || fibers_[t]->waits != Waits::no) continue;
      resume(*fibers_[t]);
      moved = true;
    }
    if (!moved) report_deadlock();
  }
  happens_after(&done_);
}

void Worker::start(Fiber& fiber) {
  fiber.ended = false;
  fiber.waits = Waits::no;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, &Worker::entry, 0);
  fiber.context.uc_stack.ss_size = 0;  // or AddressSanitizer forgets, at every switch, what it knows of the stack
}

void Worker::entry() {
#ifdef EMULATION_ADDRESS
  __sanitizer_finish_switch_fiber(nullptr, &worker->scheduler_stack_, &worker->scheduler_stack_bytes_);
#endif
  happens_after(&worker->started_);
  (*worker->body_)();
  worker->end();
}

void Worker::resume(Fiber& fiber) {
  current_ = &fiber;
#ifdef EMULATION_ADDRESS
  __sanitizer_start_switch_fiber(&fake_stack_, fiber.stack, kStackBytes);
#endif
#ifdef EMULATION_THREAD
  __tsan_switch_to_fiber(fiber.identity, __tsan_switch_to_fiber_no_sync);
#endif
  swapcontext(&scheduler_, &fiber.context);
#ifdef EMULATION_ADDRESS
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

// Back to the scheduler, until it resumes this fiber.
void Worker::leave(bool for_good) {
#ifdef EMULATION_ADDRESS
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack, scheduler_stack_, scheduler_stack_bytes_);
#endif
#ifdef EMULATION_THREAD
  __tsan_switch_to_fiber(scheduler_identity_, __tsan_switch_to_fiber_no_sync);
#endif
  swapcontext(&current_->context, &scheduler_);
#ifdef EMULATION_ADDRESS
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void Worker::end() {
  Fiber& fiber = *current_;
  fiber.ended = true;
  --live_;
  happens_before(&done_);
  release_barrier_if_complete();
  const unsigned first = fiber.number - fiber.position.lane;
  for (unsigned t = first; t < first + kWarpSize && t < size_; ++t)
    if (!fibers_[t]->ended && fibers_[t]->waits == Waits::for_warp)
      release_warp_if_complete(first / kWarpSize, fibers_[t]->mask);
  leave(true);
}

void Worker::arrive_at_barrier() {
  current_->waits = Waits::for_block;
  ++arrived_;
  release_barrier_if_complete();
  if (current_->waits != Waits::no) leave(false);
}

void Worker::release_barrier_if_complete() {
  if (arrived_ == 0 || arrived_ < live_) return;
  for (unsigned t = 0; t < size_; ++t)
    if (fibers_[t]->waits == Waits::for_block) fibers_[t]->waits = Waits::no;
  arrived_ = 0;
  ++barriers_;
}

void Worker::arrive_at_warp(unsigned mask, uint64_t value) {
  Fiber& fiber = *current_;
  if (!(mask >> fiber.position.lane & 1u)) fault("calls a warp intrinsic with a mask that leaves itself out");
  fiber.waits = Waits::for_warp;
  fiber.mask = mask;
  fiber.brought = value;
  release_warp_if_complete(fiber.number / kWarpSize, mask);
  if (fiber.waits != Waits::no) leave(false);
}

void Worker::release_warp_if_complete(unsigned warp, unsigned mask) {
  unsigned present = 0;
  for (unsigned lane = 0; lane < kWarpSize && warp * kWarpSize + lane < size_; ++lane) {
    const Fiber& fiber = *fibers_[warp * kWarpSize + lane];
    if (!(mask >> lane & 1u) || fiber.ended) continue;
    if (fiber.waits != Waits::for_warp || fiber.mask != mask) return;
    present |= 1u << lane;
  }
  Gathered gathered = {{}, present};
  for (unsigned lane = 0; lane < kWarpSize; ++lane)
    if (present >> lane & 1u) gathered.value[lane] = fibers_[warp * kWarpSize + lane]->brought;
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    if (!(present >> lane & 1u)) continue;
    fibers_[warp * kWarpSize + lane]->gathered = gathered;
    fibers_[warp * kWarpSize + lane]->waits = Waits::no;
  }
}

void Worker::report_deadlock() {
  unsigned at_barrier = 0, at_warp = 0;
  for (unsigned t = 0; t < size_; ++t) {
    if (fibers_[t]->ended) continue;
    current_ = fibers_[t].get();
    ++(fibers_[t]->waits == Waits::for_block ? at_barrier : at_warp);
  }
  char text[200];
  snprintf(text, sizeof text,
           "waits for ever: of the block's %u threads %u ended, %u wait at __syncthreads, %u at a warp intrinsic", size_,
           size_ - live_, at_barrier, at_warp);
  fault(text);
}

Worker workers[kWorkers];
char fence_clock;

}  // namespace

const Position& self() { return worker->current().position; }

void sync_threads() {
  const unsigned turn = worker->barrier_turn();
  happens_before(worker->barrier_clock(turn));
  worker->arrive_at_barrier();
  happens_after(worker->barrier_clock(turn));
}

void sync_warp(unsigned mask) {
  Fiber& fiber = worker->current();
  char* const clock = &fiber.clocks[fiber.syncs++ % 2];
  happens_before(clock);
  worker->arrive_at_warp(mask, reinterpret_cast<uint64_t>(clock));
  for (unsigned lane = 0; lane < kWarpSize; ++lane)
    if (fiber.gathered.present >> lane & 1u) happens_after(reinterpret_cast<void*>(fiber.gathered.value[lane]));
}

const Gathered& gather(unsigned mask, uint64_t value) {
  worker->arrive_at_warp(mask, value);
  return worker->current().gathered;
}

uint64_t value_of(const Gathered& gathered, unsigned lane) {
  if (!(gathered.present >> lane & 1u)) fault("reads, in a warp intrinsic, a lane that takes no part in it");
  return gathered.value[lane];
}

void fence() {
  happens_before(&fence_clock);
  happens_after(&fence_clock);
}

void fault(const char* what) {
  const Position& p = self();
  fprintf(stderr, "emulation: thread (%u, %u, %u) of block (%u, %u, %u) %s\n", p.thread.x, p.thread.y, p.thread.z,
          p.block.x, p.block.y, p.block.z, what);
  fflush(stderr);
  _exit(1);
}

void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  gridDim = grid;
  blockDim = block;
  std::vector<std::thread> others;
  for (unsigned w = 1; w < kWorkers; ++w)
    others.emplace_back([&, w] { workers[w].run(grid, block, shared_bytes, body, w, kWorkers); });
  workers[0].run(grid, block, shared_bytes, body, 0, kWorkers);
  for (std::thread& other : others) other.join();
}

}  // namespace emulation
