"""What the compiled library says of itself; its operators are under torch.ops.pumpgan."""

cpu_isa: str  # the instruction set its CPU kernels run with here
cuda_architectures: str  # compute capabilities times 100 that it holds GPU code for, "800,900"; empty without CUDA
