// A program for gperftools to profile: a ray marcher, a recursive sort and a
// word count, so that templates, inlining and deep stacks all show up. It
// starts the CPU and the heap profiler itself; see ../generate.sh.
#include <gperftools/heap-profiler.h>
#include <gperftools/profiler.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace scene {

template <typename Real>
struct Point {
  Real x, y, z;
  Real length() const { return std::sqrt(x * x + y * y + z * z); }
};

template <typename Real>
__attribute__((noinline)) Real distance(const Point<Real>& p) {
  return std::min(p.length() - 1, std::abs(p.y + Real(0.7)) + std::sin(p.x * 3) / 10);
}

template <typename Real>
__attribute__((noinline)) int march(Real angle) {
  Point<Real> p{0, 0, -3};
  int steps = 0;
  for (; steps < 200 && distance(p) > 1e-4; ++steps) {
    p.x += std::sin(angle) * distance(p);
    p.z += std::cos(angle) * distance(p);
  }
  return steps;
}

}  // namespace scene

template <typename It>
__attribute__((noinline)) void quicksort(It first, It last) {
  if (last - first < 2) return;
  auto pivot = *(first + (last - first) / 2);
  auto lower = std::partition(first, last, [&](const auto& v) { return v < pivot; });
  auto upper = std::partition(lower, last, [&](const auto& v) { return !(pivot < v); });
  quicksort(first, lower);
  quicksort(upper, last);
}

class Census {
 public:
  __attribute__((noinline)) void operator()(const std::string& text) {
    for (size_t at = 0; at + 3 <= text.size(); ++at) ++counts_[text.substr(at, 3) + "-trigram-on-the-heap"];
  }
  size_t size() const { return counts_.size(); }

 private:
  std::map<std::string, int> counts_;
};

static std::mt19937 rng(7);

__attribute__((noinline)) static std::string letters(size_t n) {
  std::string s(n, 'a');
  for (auto& c : s) c = static_cast<char>('a' + rng() % 6);
  return s;
}

__attribute__((noinline)) static size_t work(Census& census) {
  size_t total = 0;
  for (int i = 0; i < 400; ++i) total += scene::march<double>(i / 400.0) + scene::march<float>(i / 400.0f);
  std::vector<std::string> keys(2000);
  std::generate(keys.begin(), keys.end(), [] { return letters(8); });
  quicksort(keys.begin(), keys.end());
  census(letters(3000));
  return total + census.size();
}

// Usage: workload CPU_OUT HEAP_PREFIX
int main(int argc, char** argv) {
  if (argc != 3) return 2;
  Census census;
  size_t total = 0;
  HeapProfilerStart(argv[2]);
  total += work(census);
  HeapProfilerDump("corpus");
  HeapProfilerStop();

  ProfilerStart(argv[1]);
  auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  while (std::chrono::steady_clock::now() < end) total += work(census);
  ProfilerStop();

  std::printf("%zu\n", total);
}
