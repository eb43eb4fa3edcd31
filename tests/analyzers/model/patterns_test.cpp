// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/patterns.h"

#include <gtest/gtest.h>

namespace tailback::analyzers {
namespace {

TEST(BareName, DropsWhatVariesBetweenInstances) {
  EXPECT_EQ(bare_name("void std::__cxx11::basic_string<char, std::char_traits<char> >::_M_append(char const*, unsigned long)"), "std::basic_string::_M_append");
  EXPECT_EQ(bare_name("std::ostream& std::ostream::_M_insert<long>(long)"), "std::ostream::_M_insert");
  EXPECT_EQ(bare_name("std::basic_ostream<char, T>& std::operator<< <std::char_traits<char> >(std::basic_ostream<char, T>&, char const*)"), "std::operator<<");
  EXPECT_EQ(bare_name("bool __gnu_cxx::operator==<char*>(x)"), "__gnu_cxx::operator==");
  EXPECT_EQ(bare_name("<alloc::vec::Vec<u8> as core::iter::traits::collect::Extend<&u8>>::extend"), "alloc::vec::Vec::extend");
  EXPECT_EQ(bare_name("<alloc::raw_vec::RawVec<u8>>::grow_one"), "alloc::raw_vec::RawVec::grow_one");
  EXPECT_EQ(bare_name("<T as alloc::slice::hack::ConvertVec>::to_vec"), "alloc::slice::hack::ConvertVec::to_vec");
  EXPECT_EQ(bare_name("<shop::Order as core::clone::Clone>::clone"), "shop::Order::clone");
  EXPECT_EQ(bare_name("(anonymous namespace)::Parser::operator()(int) const"), "{anonymous}::Parser::operator()");
  EXPECT_EQ(bare_name("operator new(unsigned long)"), "operator new");
  EXPECT_EQ(bare_name("Holder::operator bool() const"), "Holder::operator bool");
  EXPECT_EQ(bare_name("memcpy@@GLIBC_2.14"), "memcpy");
  EXPECT_EQ(bare_name("update(int) [clone .constprop.0]"), "update");
  EXPECT_EQ(bare_name("main"), "main");
  EXPECT_EQ(bare_name(""), "");
}

TEST(BareName, EndsWhateverTheNameIs) {
  EXPECT_EQ(bare_name("<ain"), "");
  EXPECT_EQ(bare_name("<"), "");
  EXPECT_EQ(bare_name(std::string(100'000, '<') + std::string(100'000, '>')), "");
}

TEST(Patterns, LookAtTheFunctionNotAtItsTemplateArguments) {
  EXPECT_EQ(match_pattern(bare_name("std::__detail::_Compiler<std::__cxx11::regex_traits<char> >::_Compiler(char const*)"), "server"), PatternId::regex_compile);
  EXPECT_EQ(match_pattern(bare_name("Cache<std::__cxx11::basic_regex<char> >::lookup(int)"), "server"), PatternId::none);
  EXPECT_EQ(match_pattern(bare_name("std::__detail::_Executor<char const*, A, B, true>::_M_dfs(long)"), ""), PatternId::regex_match);
  EXPECT_EQ(match_pattern(bare_name("std::__cxx11::basic_string<char>::basic_string(char const*)"), ""), PatternId::string_copy);
  EXPECT_EQ(match_pattern(bare_name("std::__cxx11::basic_string<char>::find(char, unsigned long) const"), ""), PatternId::text_scan);
  EXPECT_EQ(match_pattern("malloc", "libc.so.6"), PatternId::allocation);
  EXPECT_EQ(match_pattern("anything", "liblzma.so.5.4.1"), PatternId::compression);
  EXPECT_EQ(match_pattern("inflate_fast", "program"), PatternId::compression);
  EXPECT_EQ(match_pattern("__cxa_throw", "libstdc++.so.6"), PatternId::exceptions);
}

TEST(Patterns, WordsAreWholeWords) {
  EXPECT_EQ(match_pattern("hash_mix", ""), PatternId::hashing);
  EXPECT_EQ(match_pattern("Table::computeHash", ""), PatternId::hashing);
  EXPECT_EQ(match_pattern("Table::rehash", ""), PatternId::none);
  EXPECT_EQ(match_pattern("hashtag::render", ""), PatternId::none);
}

TEST(Patterns, TableIsComplete) {
  for (int id = 1; id <= static_cast<int>(PatternId::hashing); ++id) {
    const Pattern& row = pattern(static_cast<PatternId>(id));
    EXPECT_EQ(static_cast<int>(row.id), id);
    EXPECT_FALSE(row.advice.empty()) << row.name;
    EXPECT_LE(row.low, row.expected) << row.name;
    EXPECT_LE(row.expected, row.high) << row.name;
  }
}

TEST(RuntimeCode, IsNotTheProgramsOwn) {
  EXPECT_TRUE(is_runtime_code("std::vector::push_back", "program"));
  EXPECT_TRUE(is_runtime_code("memcpy", "libc.so.6"));
  EXPECT_TRUE(is_runtime_code("", "[vdso]"));
  EXPECT_FALSE(is_runtime_code("Registry::update", "program"));
  EXPECT_FALSE(is_runtime_code("standard::convert", "libstandard.so"));
}

TEST(Patterns, OwnNamesForMallocArePassedOver) {
  for (const char* name : {"xmalloc", "PyMem_RawCalloc", "sqlite3Malloc", "Perl_safesysrealloc", "jv_mem_alloc", "xstrdup", "llvm::BumpPtrAllocatorImpl::Allocate", "pool::allocate"})
    EXPECT_TRUE(is_allocation_wrapper(name)) << name;
  for (const char* name : {"read_request", "Allocations::count", "parse", "allocate_everything_twice", "mallocate_ui", "table_alloc_row"})
    EXPECT_FALSE(is_allocation_wrapper(name)) << name;
}

TEST(Patterns, ContainersHoldBlocksStringsDoNot) {
  for (const char* name : {"std::_Hashtable::_M_emplace", "std::vector::_M_realloc_insert", "std::map::operator[]", "std::_Rb_tree::_M_create_node", "std::deque::push_back"})
    EXPECT_TRUE(is_container_code(name)) << name;
  for (const char* name : {"std::basic_string::_M_create", "std::make_unique", "std::__new_allocator::allocate", "mapping::insert"}) EXPECT_FALSE(is_container_code(name)) << name;
}

TEST(Patterns, CopyingAnObjectIsDoneForAnother) {
  EXPECT_TRUE(copies_an_object("<shop::Order as core::clone::Clone>::clone"));
  EXPECT_TRUE(copies_an_object("shop::Order::Order(shop::Order const&)"));
  EXPECT_TRUE(copies_an_object("Order::Order(Order const&)"));
  EXPECT_FALSE(copies_an_object("shop::Order::Order(std::string const&)"));
  EXPECT_FALSE(copies_an_object("shop::Order::add(shop::Order const&)"));
  EXPECT_FALSE(copies_an_object("shop::clone(int)"));
  EXPECT_FALSE(copies_an_object("read_order"));
}

}  // namespace
}  // namespace tailback::analyzers
