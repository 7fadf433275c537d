// Planes of short rows on the processor. Eight samples are no work for wide vectors, so planes are laid out on a sheet,
// row after row with zeros around them, where a step of the filter is one long sum of the sheet's shifted copies.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "common/cpu_kernel.h"
#include "upfirdn2d/upfirdn2d_math.h"
#include "upfirdn2d/upfirdn2d_rows.h"

namespace pumpgan {

// An axis of a sheet: every `down`-th sample of x is in one part of it, every `up`-th sample of y in one phase.
struct SheetAxis {
  struct Meeting {
    int64_t part, cell, tap;  // sample t of the phase meets sample t + cell of the part through the tap
  };
  int64_t low;    // the sample of x that is cell 0 of part 0
  int64_t turns;  // samples of y in a phase
  int64_t cells;  // in a part, zeros included
  std::vector<std::vector<Meeting>> phases;

  SheetAxis(const ResampledAxis& axis, bool flip)
      : low(reach_of<int64_t>(0, axis.taps, axis.up, axis.down, axis.before).first),
        turns(divide_up(axis.out, axis.up)), cells(turns) {
    for (int64_t p = 0; p < axis.up; ++p) {
      const auto reach = reach_of(p, axis.taps, axis.up, axis.down, axis.before);
      phases.emplace_back();
      for (int64_t m = 0; m < reach.count; ++m) {
        const int64_t i = reach.first + m - low;
        phases.back().push_back({i % axis.down, i / axis.down, tap_at(reach.tap + m * axis.up, axis.taps, flip)});
        cells = std::max(cells, turns + i / axis.down);
      }
    }
  }
};

// The samples of x that a part holds: first, first + down, ...
struct PartOfAxis {
  int64_t first, count, cell;  // cell: where the first one is

  PartOfAxis(const ResampledAxis& axis, const SheetAxis& sheet, int64_t part) {
    const int64_t from = std::max<int64_t>(0, sheet.low) - sheet.low - part;  // in samples from the part's first cell
    cell = std::max<int64_t>(0, divide_up(from, axis.down));
    first = sheet.low + part + cell * axis.down;
    count = std::max<int64_t>(0, std::min(divide_up(axis.in - first, axis.down), sheet.cells - cell));
  }
};

// `rows` short rows of n samples from one array to another, the next row a pitch later; each as its first and its last
// kBytes, which may overlap: what the compiler knows the size of it copies without a call or a loop.
template <int64_t kBytes, typename T>
inline void copy_rows_of(int64_t rows, int64_t n, const T* from, int64_t from_pitch, T* to, int64_t to_pitch) {
  const int64_t last = n - kBytes / int64_t(sizeof(T));
  for (int64_t i = 0; i < rows; ++i, from += from_pitch, to += to_pitch) {
    std::memcpy(to, from, kBytes);
    std::memcpy(to + last, from + last, kBytes);
  }
}
template <typename T>
inline void copy_rows(int64_t rows, int64_t n, const T* from, int64_t from_pitch, T* to, int64_t to_pitch) {
  const int64_t bytes = n * int64_t(sizeof(T));
  if (bytes >= 8 && bytes <= 16) return copy_rows_of<8>(rows, n, from, from_pitch, to, to_pitch);
  if (bytes > 16 && bytes <= 32) return copy_rows_of<16>(rows, n, from, from_pitch, to, to_pitch);
  if (bytes > 32 && bytes <= 64) return copy_rows_of<32>(rows, n, from, from_pitch, to, to_pitch);
  if (bytes > 64 && bytes <= 128) return copy_rows_of<64>(rows, n, from, from_pitch, to, to_pitch);
  if (bytes > 128 && bytes <= 256) return copy_rows_of<128>(rows, n, from, from_pitch, to, to_pitch);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * from_pitch, n, to + i * to_pitch);
}

// parts[k * n + i] = whole[i * count + k], widened.
template <int count, typename T, typename A>
inline void split_columns(const T* whole, int64_t n, A* parts) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i)
    for (int k = 0; k < count; ++k) parts[k * n + i] = widen(whole[i * count + k]);
}

// The way back.
template <int count, typename A, typename T>
inline void join_columns(const A* parts, int64_t stride, int64_t n, T* whole) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i)
    for (int k = 0; k < count; ++k) whole[i * count + k] = narrow<T>(parts[k * stride + i]);
}

// One worker's sheet. Arrays along it have `length` values, of which so many hold planes as are being made.
template <typename T>
struct Sheet {
  using A = typename Wide<T>::type;
  static constexpr bool kNarrow = !std::is_same_v<T, A>;
  static constexpr int64_t kCells = 2048;  // so that the arrays stay in a core's first-level cache
  static constexpr int64_t kSmallPlane = 96 * 96;

  const Upfirdn2dArgs& args;
  SheetAxis rows, columns;
  int64_t plane;   // cells of one
  int64_t planes;  // that fit
  int64_t length;
  Scratch<A> dealt, parts, lines, sums;
  Scratch<T> whole;  // sums of all phases of a row, where that is another thing
  std::vector<const A*> shifted;
  std::vector<A> weights;

  explicit Sheet(const Upfirdn2dArgs& args)
      : args(args), rows(args.rows, args.flip), columns(args.columns, args.flip), plane(rows.cells * columns.cells),
        planes(std::max<int64_t>(1, kCells / plane)),
        length(planes * plane + (rows.cells - rows.turns) * columns.cells + columns.cells),  // what shifting reaches
        dealt(args.columns.down > 1 || kNarrow ? planes * args.rows.in * args.columns.in : 0),
        parts(args.rows.down * args.columns.down * length),
        lines(args.separable ? args.rows.up * args.columns.down * length : 0),
        sums(args.rows.up * args.columns.up * length),
        whole(args.columns.up > 1 || kNarrow ? args.columns.up * planes * plane : 0),
        shifted(args.rows.taps * args.columns.taps), weights(args.rows.taps * args.columns.taps) {}

  // Whether a sheet is the faster way. Of long rows a filter with one axis after the other can do with fewer copies.
  static bool suits(const Upfirdn2dArgs& args) {
    const bool small = args.rows.out * args.columns.out <= kSmallPlane;
    return args.pixel == 1 && args.columns.in % args.columns.down == 0 && (small || !args.separable);
  }

  A* part(int64_t row, int64_t column) { return parts.data() + (row * args.columns.down + column) * length; }
  A* line(int64_t row, int64_t column) { return lines.data() + (row * args.columns.down + column) * length; }
  A* sum(int64_t row, int64_t column) { return sums.data() + (row * args.columns.up + column) * length; }

  // Planes [first, first + count) of x, onto the sheet. Zeros stay where they are.
  void lay_out(int64_t first, int64_t count) {
    const int64_t in = args.columns.in, down = args.columns.down, some = in / down, size = count * args.rows.in * some;
    const T* x = static_cast<const T*>(args.x) + first * args.rows.in * in;
    const A* from_columns = dealt.data();
    if (down == 1 && !kNarrow)
      from_columns = reinterpret_cast<const A*>(x);
    else if (down == 1)
      split_columns<1>(x, size, dealt.data());
    else if (down == 2)
      split_columns<2>(x, size, dealt.data());
    else
      for (int64_t k = 0; k < down; ++k)
        for (int64_t i = 0; i < size; ++i) dealt[k * size + i] = widen(x[i * down + k]);
    for (int64_t r = 0; r < args.rows.down; ++r)
      for (int64_t c = 0; c < down; ++c) {
        const PartOfAxis v(args.rows, rows, r), h(args.columns, columns, c);
        const A* from = from_columns + h.first % down * size + h.first / down + v.first * some;
        A* to = part(r, c) + v.cell * columns.cells + h.cell;
        for (int64_t p = 0; p < count; ++p)
          copy_rows(v.count, h.count, from + p * args.rows.in * some, args.rows.down * some, to + p * plane,
                    columns.cells);
      }
  }

  // One axis after the other, the vertical one with the gain.
  void filter_axes(int64_t cells) {
    const A *taps = static_cast<const A*>(args.taps), gain = A(args.gain);
    for (int64_t r = 0; r < args.rows.up; ++r) {
      const auto &above = rows.phases[r];
      for (size_t m = 0; m < above.size(); ++m) weights[m] = gain * taps[above[m].tap];
      for (int64_t c = 0; c < args.columns.down; ++c) {
        for (size_t m = 0; m < above.size(); ++m) shifted[m] = part(above[m].part, c) + above[m].cell * columns.cells;
        sum_of_rows(shifted.data(), weights.data(), int64_t(above.size()), false, line(r, c), cells);
      }
    }
    for (int64_t r = 0; r < args.rows.up; ++r)
      for (int64_t c = 0; c < args.columns.up; ++c) {
        const auto& beside = columns.phases[c];
        for (size_t m = 0; m < beside.size(); ++m) {
          shifted[m] = line(r, beside[m].part) + beside[m].cell;
          weights[m] = taps[beside[m].tap];
        }
        sum_of_rows(shifted.data(), weights.data(), int64_t(beside.size()), false, sum(r, c), cells);
      }
  }

  // Both axes at once.
  void filter_plane(int64_t cells) {
    const A *taps = static_cast<const A*>(args.taps), gain = A(args.gain);
    for (int64_t r = 0; r < args.rows.up; ++r)
      for (int64_t c = 0; c < args.columns.up; ++c) {
        int64_t met = 0;
        for (const auto& above : rows.phases[r])
          for (const auto& beside : columns.phases[c]) {
            shifted[met] = part(above.part, beside.part) + above.cell * columns.cells + beside.cell;
            weights[met++] = gain * taps[above.tap * args.columns.taps + beside.tap];
          }
        sum_of_rows(shifted.data(), weights.data(), met, false, sum(r, c), cells);
      }
  }

  // The sheet's sums, into planes [first, first + count) of y.
  void take_off(int64_t first, int64_t count) {
    const int64_t up = args.columns.up, out = args.columns.out, cells = count * plane;
    T* y = static_cast<T*>(args.y) + first * args.rows.out * out;
    for (int64_t r = 0; r < args.rows.up; ++r) {
      const T* from = whole.data();
      if (up == 1 && !kNarrow)
        from = reinterpret_cast<const T*>(sum(r, 0));
      else if (up == 1)
        join_columns<1>(sum(r, 0), length, cells, whole.data());
      else if (up == 2)
        join_columns<2>(sum(r, 0), length, cells, whole.data());
      else
        for (int64_t c = 0; c < up; ++c)
          for (int64_t i = 0; i < cells; ++i) whole[i * up + c] = narrow<T>(sum(r, c)[i]);
      const int64_t turns = (args.rows.out - r + args.rows.up - 1) / args.rows.up;
      for (int64_t p = 0; p < count; ++p)
        copy_rows(turns, out, from + p * plane * up, columns.cells * up, y + (p * args.rows.out + r) * out,
                  args.rows.up * out);
    }
  }
};

// Planes [begin, end) of y.
template <typename T>
PUMPGAN_EVERY_ISA void filter_on_sheet(Sheet<T>& sheet, int64_t begin, int64_t end) {
  for (int64_t first = begin; first < end; first += sheet.planes) {
    const int64_t count = std::min(sheet.planes, end - first);
    sheet.lay_out(first, count);
    if (sheet.args.separable)
      sheet.filter_axes(count * sheet.plane);
    else
      sheet.filter_plane(count * sheet.plane);
    sheet.take_off(first, count);
  }
}

}  // namespace pumpgan
