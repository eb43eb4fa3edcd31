// SPDX-License-Identifier: Apache-2.0
// Source of the symbol benchmark's big binary: ordinary standard-library templates over COUNT item types, so that the debug
// data has what real C++ has: deep inlining, long names, many scattered ranges. Never run.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

template <int N>
struct Item {
  int key = N;
  std::string text = std::to_string(N);
  bool operator<(const Item& other) const { return key != other.key ? key < other.key : text < other.text; }
};

template <int N>
long containers(int rounds) {
  std::map<std::string, std::vector<Item<N>>> groups;
  std::unordered_map<int, std::shared_ptr<Item<N>>> index;
  std::set<Item<N>> ordered;
  for (int i = 0; i < rounds; ++i) {
    groups[std::to_string(i % 7)].push_back({i, "x"});
    index.emplace(i, std::make_shared<Item<N>>());
    ordered.insert(Item<N>{i, "y"});
  }
  std::vector<Item<N>> flat;
  for (auto& [name, items] : groups) flat.insert(flat.end(), items.begin(), items.end());
  std::stable_sort(flat.begin(), flat.end(), [](const Item<N>& a, const Item<N>& b) { return b < a; });
  std::variant<int, std::string, Item<N>> choice = Item<N>{rounds, "z"};
  std::function<long(int)> sum = [&](int add) {
    return std::accumulate(flat.begin(), flat.end(), long{add}, [](long total, const Item<N>& item) { return total + item.key; });
  };
  return std::visit([](const auto& value) { return long(sizeof(value)); }, choice) + sum(N) + long(index.size() + ordered.size());
}

template <int... N>
long all(std::integer_sequence<int, N...>, int rounds) { return (containers<N + VARIANT * 1000>(rounds) + ...); }
long entry(int rounds, const std::string& text) {
  std::ostringstream out;
  out << all(std::make_integer_sequence<int, COUNT>(), rounds) << std::regex_replace(text, std::regex("a+(b|c)*"), "x");
  return long(out.str().size());
}
