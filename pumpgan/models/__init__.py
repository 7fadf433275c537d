"""Networks: modules from tensors to tensors. No optimiser, no loss, no file."""
