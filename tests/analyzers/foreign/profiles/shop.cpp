#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#include <unistd.h>
__attribute__((noinline)) void* keep(std::size_t n) {
  void* p = std::malloc(n);
  std::memset(p, 1, n);
  return p;
}
__attribute__((noinline)) void churn(int n) {
  for (int i = 0; i < n; ++i) {
    std::string s(static_cast<unsigned>(40 + i % 7), 'x');
    asm volatile("" : : "r"(s.data()) : "memory");
  }
}
__attribute__((noinline)) void peak() {
  std::vector<void*> v;
  for (int i = 0; i < 64; ++i) v.push_back(keep(65536));
  for (void* p : v) std::free(p);
}
int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 200;
  void* kept[100];
  for (void*& p : kept) p = keep(3000);
  churn(rounds);
  peak();
  for (int i = 0; i < 40; ++i) {
    std::free(kept[i]);
    usleep(1000);
  }
  asm volatile("" : : "r"(kept) : "memory");
  return 0;
}
