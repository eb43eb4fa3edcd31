// SPDX-License-Identifier: Apache-2.0
#include "analyzers/model/log_histogram.h"

#include <gtest/gtest.h>

namespace tailback::analyzers {
namespace {

using namespace std::string_view_literals;

TEST(LogHistogram, QuantilesLieInTheirBucket) {
  LogHistogram histogram;
  histogram.add_coded("\0\0\0\0\0\0\0\0\0\0\x63\0\0\0\0\0\0\0\0\0\x01"sv);  // 99 of a microsecond, one of a millisecond
  EXPECT_EQ(histogram.total(), 100u);
  EXPECT_NEAR(histogram.duration_quantile(0.5), 1024 * 1.5, 32);
  EXPECT_EQ(histogram.duration_quantile(0.99), 2048);
  EXPECT_EQ(histogram.duration_quantile(1), 2 << 20);
  EXPECT_EQ(histogram.size_quantile(0.99), 1024);
}

TEST(LogHistogram, NothingMovedIsASizeOfItsOwn) {
  LogHistogram histogram;
  histogram.add_coded("\x0a\x01"sv);
  EXPECT_EQ(histogram.size_quantile(0.5), 0);
  EXPECT_EQ(histogram.size_quantile(1), 2);
}

TEST(LogHistogram, SumsAreThoseOfTheParts) {
  LogHistogram a, b;
  a.add_coded("\0\x02"sv);
  b.add_coded("\x01\x03\x04"sv);
  a.add(b);
  EXPECT_EQ(a.total(), 10u);
  EXPECT_EQ(a.count(1), 5u);
}

TEST(LogHistogram, AnyBytesGiveAHistogram) {
  LogHistogram histogram;
  histogram.add_coded(std::string(1000, '\xff'));
  histogram.add_coded(std::string(1000, '\x01'));
  EXPECT_LE(histogram.total(), 64u) << "what does not decode is left out, what lies behind the last bucket too";
  EXPECT_EQ(LogHistogram{}.duration_quantile(0.5), 0);
}

}  // namespace
}  // namespace tailback::analyzers
