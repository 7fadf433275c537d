// The arithmetic of the epilogue, one element at a time, for both twins. The activation is that of bias_act.
#pragma once

#include <cstdint>

#include "bias_act/bias_act_math.h"
#include "common/host_device.h"
#include "modulated_conv2d/modulated_conv2d.h"

namespace pumpgan {

template <typename A>
PUMPGAN_HD A epilogue_value(A x, A scale, A shift, A slope, A gain, A clamp) {
  return bias_act_value<A>(x * scale, shift, slope, gain, clamp);
}

// Where a tile lies: its sample, its first and past-the-last row and lane, and its place among the partial sums.
struct Tile {
  int64_t sample, row_index, lane_index, row_begin, row_end, lane_begin, lane_end;
};

PUMPGAN_HD Tile tile_at(const EpilogueShape& shape, int64_t index) {
  const int64_t lane_tiles = shape.lane_tiles(), row_tiles = shape.row_tiles();
  Tile tile;
  tile.lane_index = index % lane_tiles;
  tile.row_index = index / lane_tiles % row_tiles;
  tile.sample = index / lane_tiles / row_tiles;
  tile.row_begin = tile.row_index * shape.row_tile;
  tile.lane_begin = tile.lane_index * shape.lane_tile;
  tile.row_end = tile.row_begin + shape.row_tile < shape.rows ? tile.row_begin + shape.row_tile : shape.rows;
  tile.lane_end = tile.lane_begin + shape.lane_tile < shape.lanes ? tile.lane_begin + shape.lane_tile : shape.lanes;
  return tile;
}

}  // namespace pumpgan
