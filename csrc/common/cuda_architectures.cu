// Which GPUs this build has machine code for, as nvcc itself lists them.
#define PUMPGAN_TEXT(...) #__VA_ARGS__
#define PUMPGAN_EXPANDED_TEXT(...) PUMPGAN_TEXT(__VA_ARGS__)

namespace pumpgan {

// Compute capabilities times 100, such as "800,900".
const char* cuda_architectures() { return PUMPGAN_EXPANDED_TEXT(__CUDA_ARCH_LIST__); }

}  // namespace pumpgan
