// SPDX-License-Identifier: Apache-2.0
// Names for reading, by a table of what demanglers write, and properties that hold for any text.
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>

#include "analyzers/model/symbols.h"

namespace tailback::analyzers {
namespace {

struct Case {
  const char* demangled;
  const char* expected;
};

TEST(SimplifyName, KnownNames) {
  const Case cases[] = {
      {"main", "main"},
      {"foo(int)", "foo"},
      {"void foo<int>(int)", "foo<int>"},
      {"std::vector<int, std::allocator<int> >::push_back(int const&)", "std::vector<int>::push_back"},
      {"std::map<int, std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, std::less<int>, std::allocator<std::pair<int const, std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > > > >::operator[](int const&)",
       "std::map<int, std::string>::operator[]"},
      {"operator new(unsigned long)", "operator new"},
      {"foo::operator()(int) const", "foo::operator()"},
      {"bool operator< <int>(A<int> const&, A<int> const&)", "operator< <int>"},
      {"std::ostream& std::operator<< <std::char_traits<char> >(std::ostream&, char const*)", "std::operator<<"},
      {"std::basic_ostream<char, std::char_traits<char> >& std::operator<< <char, std::char_traits<char> >(std::basic_ostream<char, std::char_traits<char> >&, char)",
       "std::operator<< <char>"},
      {"foo(int)::{lambda(int)#1}::operator()(int) const", "foo::{lambda#1}"},
      {"(anonymous namespace)::foo(int)", "(anonymous namespace)::foo"},
      {"ns::(anonymous namespace)::Bar::foo(int) const", "ns::(anonymous namespace)::Bar::foo"},
      {"std::function<void (int)>::operator()(int) const", "std::function<void (int)>::operator()"},
      {"void (*get<int>(int))(char)", "get<int>"},
      {"int (A::*get2<int>(int))(char) const", "get2<int>"},
      {"Foo::operator bool() const", "Foo::operator bool"},
      {"Foo::operator std::vector<int, std::allocator<int> >() const", "Foo::operator std::vector<int>"},
      {"Foo::operator void (*)(int)() const", "Foo::operator void (*)(int)"},
      {"decltype (fp+(0)) bar<int>(int)", "bar<int>"},
      {"foo[abi:cxx11](int)", "foo"},
      {"foo(int) [clone .constprop.0]", "foo [constprop]"},
      {"foo(int, int) [clone .isra.0] [clone .cold]", "foo [isra] [cold]"},
      {"sqlite3VdbeExec.part.0", "sqlite3VdbeExec [part]"},
      {"non-virtual thunk to Foo::bar(int)", "non-virtual thunk to Foo::bar"},
      {"vtable for std::thread::_State_impl<std::thread::_Invoker<std::tuple<main::{lambda()#1}> > >",
       "vtable for std::thread::_State_impl<std::thread::_Invoker<std::tuple<main::{lambda#1}>>>"},
      {"std::enable_if<((1)>(0)), int>::type foo<int>(int)", "foo<int>"},
      {"std::_Hashtable<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, std::pair<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const, int>, std::allocator<std::pair<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const, int> >, std::__detail::_Select1st, std::equal_to<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > >, std::hash<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > >, std::__detail::_Mod_range_hashing, std::__detail::_Default_ranged_hash, std::__detail::_Prime_rehash_policy, std::__detail::_Hashtable_traits<true, false, true> >::_M_find_before_node(unsigned long, std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const&, unsigned long) const",
       "std::_Hashtable<std::string, std::pair<std::string const, int>>::_M_find_before_node"},
      {"<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop", "<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop"},
      {"core::ptr::drop_in_place<alloc::string::String>", "core::ptr::drop_in_place<alloc::string::String>"},
      {"mycrate::foo::{{closure}}::h0123456789abcdef", "mycrate::foo::{{closure}}"},
      {"<core::iter::adapters::map::Map<I, F> as core::iter::traits::iterator::Iterator>::fold",
       "<core::iter::adapters::map::Map<I, F> as core::iter::traits::iterator::Iterator>::fold"},
      {"A::operator->() const", "A::operator->"},
      {"A<int>::operator->*(int)", "A<int>::operator->*"},
      {"operator\"\" _x(char const*)", "operator\"\" _x"},
      {"std::unique_ptr<Foo, std::default_delete<Foo> >::~unique_ptr()", "std::unique_ptr<Foo>::~unique_ptr"},
      {"std::unique_ptr<Foo, Del>::~unique_ptr()", "std::unique_ptr<Foo, Del>::~unique_ptr"},
      {"foo(void (*)(int), std::pair<int, int>)", "foo"},
      {"void std::__invoke_impl<void, main::{lambda()#1}>(std::__invoke_other, main::{lambda()#1}&&)",
       "std::__invoke_impl<void, main::{lambda#1}>"},
      {"std::__invoke_result<foo(int)::{lambda(int)#1}&, int>::type std::__invoke<foo(int)::{lambda(int)#1}&, int>(foo(int)::{lambda(int)#1}&, int&&)",
       "std::__invoke<foo::{lambda#1}&, int>"},
      {"std::set<int, std::greater<int>, std::allocator<int> >::insert(int)", "std::set<int, std::greater<int>>::insert"},
      {"std::chrono::_V2::system_clock::now()", "std::chrono::system_clock::now"},
      {"foo(int)::{lambda()#2}::_FUN()", "foo::{lambda#2}::_FUN"},
      {"auto foo<int>(int)::{lambda(auto:1)#1}::operator()<int>(int) const", "foo<int>::{lambda#1}<int>"},
      {"unsigned long f<(char)40>(int)", "f<(char)40>"},
      {"bool (anonymous namespace)::cmp<int>(int, int)", "(anonymous namespace)::cmp<int>"},
      {"std::sort<__gnu_cxx::__normal_iterator<int*, std::vector<int, std::allocator<int> > > >(__gnu_cxx::__normal_iterator<int*, std::vector<int, std::allocator<int> > >, __gnu_cxx::__normal_iterator<int*, std::vector<int, std::allocator<int> > >)",
       "std::sort<__gnu_cxx::__normal_iterator<int*, std::vector<int>>>"},
      {"operator,(A, B)", "operator,"},
      {"A::operator,(B)", "A::operator,"},
      {"a<b", "a<b"},
      {"foo<", "foo<"},
      {">>><<<((({{{", ">>><<<((({{{"},
      {"f(", "f"},
      {"(anonymous namespace)::foo(int)", "(anonymous namespace)::foo"},
      {"mycrate::foo", "mycrate::foo"},
      {"core::fmt::Formatter::write_str", "core::fmt::Formatter::write_str"},
      {"std::bitset<64ul>::operator<<(unsigned long) const", "std::bitset<64ul>::operator<<"},
      {"A::operator int*() const", "A::operator int*"},
      {"(anonymous namespace)::A::operator (anonymous namespace)::B() const",
       "(anonymous namespace)::A::operator (anonymous namespace)::B"},
      {"std::pair<int (*)(int), void (A::*)(char) const>::pair()", "std::pair<int (*)(int), void (A::*)(char) const>::pair"},
      {"std::thread::_State_impl<std::thread::_Invoker<std::tuple<main(int, char**)::<lambda()> > > >::_M_run()",
       "std::thread::_State_impl<std::thread::_Invoker<std::tuple<main::<lambda()>>>>::_M_run"},
      {"foo(int) const &", "foo"},
      {"foo(int) const::{lambda(int)#2}::operator()(int) const::{lambda()#1}::operator()() const", "foo::{lambda#2}::{lambda#1}"},
      {"std::unordered_map<int, char, std::hash<int>, std::equal_to<int>, std::allocator<std::pair<int const, char> > >::find(int const&)",
       "std::unordered_map<int, char>::find"},
      {"std::unordered_map<int, char, MyHash, std::equal_to<int>, std::allocator<std::pair<int const, char> > >::find(int const&)",
       "std::unordered_map<int, char, MyHash>::find"},
      {"std::map<int, int, std::less<void>, std::allocator<std::pair<int const, int> > >::find(int const&)",
       "std::map<int, int, std::less<void>>::find"},
      {"std::allocator_traits<std::allocator<int> >::allocate(std::allocator<int>&, unsigned long)",
       "std::allocator_traits<std::allocator<int>>::allocate"},
      {"std::__cxx11::basic_string<wchar_t, std::char_traits<wchar_t>, std::allocator<wchar_t> >::assign(wchar_t const*)", "std::wstring::assign"},
      {"std::basic_string_view<char, std::char_traits<char> >::find(char, unsigned long) const", "std::string_view::find"},
      {"std::__1::vector<int, std::__1::allocator<int> >::size() const", "std::vector<int>::size"},
      {"apply<void (int, std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >)>(int)", "apply<void (int, std::string)>"},
      {"guard variable for foo(int)::cache", "guard variable for foo::cache"},
      {"__gnu_cxx::__ops::_Iter_less_iter::operator()<int*, int*>(int*, int*) const", "__gnu_cxx::__ops::_Iter_less_iter::operator()<int*, int*>"},
      {"core::slice::sort::quicksort::<u64, <[u64]>::sort_unstable::{closure#0}>", "core::slice::sort::quicksort::<u64, <[u64]>::sort_unstable::{closure#0}>"},
      {"<fn(i32) -> i32 as core::ops::FnOnce<(i32,)>>::call_once", "<fn(i32) -> i32 as core::ops::FnOnce<(i32,)>>::call_once"},
      {"memcpy", "memcpy"},
      {"foo.cold", "foo [cold]"},
      {"foo.lto_priv.0", "foo"},
      {"foo.llvm.1234567890", "foo"},
      {"bar.isra.0.cold", "bar [isra] [cold]"},
      {"", ""},
  };
  for (const Case& one : cases) EXPECT_EQ(simplify_name(one.demangled), one.expected) << one.demangled;
}

TEST(SimplifyName, IsStableOnItsOwnResult) {
  for (const char* name : {"std::vector<int>::push_back", "foo::{lambda#1}", "(anonymous namespace)::foo", "A::operator()",
                           "operator< <int>", "std::map<int, std::string>::operator[]", "Foo::operator bool"})
    EXPECT_EQ(simplify_name(name), name);
}

TEST(SimplifyName, LongNamesLoseTheirInnerArgumentsFirst) {
  std::string argument = "Type";
  for (int i = 0; i < 40; ++i) argument = "Wrapper<" + argument + ", Other" + std::to_string(i) + ">";
  const std::string simple = simplify_name("Outer<" + argument + ">::run(int)");
  EXPECT_LE(simple.size(), 160u);
  EXPECT_TRUE(simple.starts_with("Outer<")) << simple;
  EXPECT_TRUE(simple.ends_with(">::run")) << simple;
  EXPECT_LE(simplify_name(std::string(5000, 'x')).size(), 410u);
}

TEST(SimplifyName, AnyTextEndsSoonAndStaysShort) {
  std::mt19937 random(3);
  const std::string letters = "<>(){}[]:*& ,-~ab#operator const.";
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 200, ' ');
    for (char& c : text) c = letters[random() % letters.size()];
    if (random() % 2) text.insert(random() % (text.size() + 1), "operator");
    EXPECT_LE(simplify_name(text).size(), 500u);
  }
  for (const char open : {'<', '(', '{', '[', ' ', ','}) {
    const std::string deep(60'000, open);
    EXPECT_LE(simplify_name(deep).size(), 500u);
    EXPECT_LE(simplify_name("f" + deep + "x()").size(), 500u);
  }
  std::string pairs;
  for (int i = 0; i < 10'000; ++i) pairs += "a<(";
  EXPECT_LE(simplify_name(pairs).size(), 500u);
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 60.0);
}

}  // namespace
}  // namespace tailback::analyzers
