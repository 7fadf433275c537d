// The table of launchers, which emulator.py writes from csrc's headers.
#pragma once

#include <cstddef>
#include <map>
#include <string>

struct Launcher {
  size_t arguments_bytes;
  void (*run)(void* arguments);
};

extern const std::map<std::string, Launcher> launchers;
