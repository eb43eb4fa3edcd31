// SPDX-License-Identifier: Apache-2.0
// Options: values, precedence of their sources, where the program's own command line begins.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "tools/command.h"
#include "tools/options/command_line.h"
#include "tools/options/config_file.h"
#include "tools/options/rule_thresholds.h"
#include "tools/options/recording_options.h"
#include "tools/options/values.h"

namespace tailback::tools {
namespace {

namespace files = std::filesystem;

class OptionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/tailback-options-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    folder_ = path;
    before_ = files::current_path();
    files::current_path(folder_);
    for (const RecordingOption& option : recording_options()) ::unsetenv(environment_name(option).c_str());
    for (const char* name : {"TAILBACK_CONFIG", "TAILBACK_QUIET"}) ::unsetenv(name);
    ::setenv("XDG_CONFIG_HOME", (folder_ + "/xdg").c_str(), 1);
  }
  void TearDown() override {
    files::current_path(before_);
    files::remove_all(folder_);
    for (const char* name : {"TAILBACK_FREQUENCY", "TAILBACK_CONFIG", "TAILBACK_QUIET", "TAILBACK_LOCKS", "XDG_CONFIG_HOME"})
      ::unsetenv(name);
  }
  void write(const std::string& name, const std::string& text) {
    files::create_directories(files::path(folder_ + "/" + name).parent_path());
    std::ofstream(folder_ + "/" + name) << text;
  }
  RecordingOptions resolved(const Arguments& arguments) {
    CLI::App app("", "record");
    RecordingOptions options;
    options.declare(app);
    parse(app, arguments);
    options.resolve();
    return options;
  }
  std::string frequency(const Arguments& arguments) {
    const RecordingOptions options = resolved(arguments);
    return options.find("frequency") ? *options.find("frequency") : "default";
  }
  std::string failure(const Arguments& arguments) {
    try {
      resolved(arguments);
    } catch (const Failure& error) {
      EXPECT_EQ(error.status(), kWrongUsage);
      return error.what();
    }
    return "";
  }

  std::string folder_;
  files::path before_;
};

TEST_F(OptionsTest, EachSourceYieldsToTheOneBefore) {
  EXPECT_EQ(frequency({}), "default");
  write("xdg/tailback/config.toml", "frequency = 11\nlocks = \"off\"\n");
  EXPECT_EQ(frequency({}), "11");
  write(".tailback.toml", "frequency = 22\n");
  EXPECT_EQ(frequency({}), "22");
  EXPECT_EQ(*resolved({}).find("locks"), "off");  // what the nearer file leaves open
  ::setenv("TAILBACK_FREQUENCY", "33", 1);
  EXPECT_EQ(frequency({}), "33");
  EXPECT_EQ(frequency({"-F", "44"}), "44");
  EXPECT_EQ(frequency({"--frequency=45"}), "45");
}

TEST_F(OptionsTest, ANamedFileStandsAlone) {
  write(".tailback.toml", "frequency = 22\n");
  write("mine.toml", "max_size = \"64M\"\n");
  const RecordingOptions options = resolved({"--config", "mine.toml"});
  EXPECT_EQ(options.find("frequency"), nullptr);
  EXPECT_EQ(*options.find("max-size"), "67108864");
  ::setenv("TAILBACK_CONFIG", (folder_ + "/mine.toml").c_str(), 1);
  EXPECT_EQ(*resolved({}).find("max-size"), "67108864");
}

TEST_F(OptionsTest, TypesOfToml) {
  write(".tailback.toml", "frequency = 99\nduration = 2.5\nfollow-children = false\nquiet = true\nio = \"off\"\n");
  const RecordingOptions options = resolved({});
  EXPECT_EQ(*options.find("duration"), "2.5");
  EXPECT_EQ(*options.find("follow-children"), "no");
  EXPECT_EQ(*options.find("io"), "off");
  EXPECT_TRUE(options.quiet());
}

TEST_F(OptionsTest, MessagesNameThePlaceTheCauseAndTheRemedy) {
  write(".tailback.toml", "frequency = 99\nfrequncy = 3\n");
  EXPECT_NE(failure({}).find(".tailback.toml:2: frequncy"), std::string::npos) << failure({});
  write(".tailback.toml", "frequency = [1]\n");
  EXPECT_NE(failure({}).find(":1: frequency"), std::string::npos);
  write(".tailback.toml", "frequency = \n");
  EXPECT_NE(failure({}).find("not valid TOML"), std::string::npos);
  files::remove(".tailback.toml");
  EXPECT_NE(failure({"--config", "none.toml"}).find("none.toml"), std::string::npos);
  ::setenv("TAILBACK_FREQUENCY", "fast", 1);
  EXPECT_NE(failure({}).find("TAILBACK_FREQUENCY: 'fast'"), std::string::npos);
  EXPECT_NE(failure({"-F", "0"}).find("--frequency: '0' cannot be used; it takes a whole number"), std::string::npos);
}

TEST_F(OptionsTest, EnvironmentHoldsWhatWasGivenAndNothingElse) {
  using Variables = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(resolved({}).environment(), Variables{});
  EXPECT_EQ(resolved({"--alloc-interval", "64k", "-o", "x.tbk", "--follow-children", "no"}).environment(),
            (Variables{{"TAILBACK_ALLOC_INTERVAL", "65536"}, {"TAILBACK_FOLLOW_CHILDREN", "no"}}));
}

TEST_F(OptionsTest, ThresholdsOfRulesComeFromTheMostImportantFile) {
  write("xdg/tailback/config.toml", "[rules]\npool-saturated-utilization = 0.7\nqueue-warning-length = 5\n");
  write(".tailback.toml", "[rules]\npool_saturated_utilization = 0.8\n");
  EXPECT_EQ(rule_thresholds("").pool_saturated_utilization, 0.8);
  EXPECT_EQ(rule_thresholds("").queue_warning_length, 5);
  EXPECT_EQ(rule_thresholds("").queue_serious_length, analyzers::Thresholds{}.queue_serious_length);
  write("mine.toml", "[rules]\nqueue-serious-length = 7\n");
  EXPECT_EQ(rule_thresholds("mine.toml").pool_saturated_utilization, analyzers::Thresholds{}.pool_saturated_utilization);
}

TEST_F(OptionsTest, AThresholdThatCannotBeIsRefusedByName) {
  const auto refusal = [&](const std::string& text) {
    write("mine.toml", text);
    try {
      rule_thresholds("mine.toml");
    } catch (const Failure& failure) {
      return std::string(failure.what());
    }
    return std::string();
  };
  EXPECT_NE(refusal("[rules]\n\npool-colour = 1\n").find("mine.toml:3: pool-colour is no threshold"), std::string::npos);
  EXPECT_NE(refusal("[rules]\npool-colour = 1\n").find("queue-warning-length"), std::string::npos);
  EXPECT_NE(refusal("[rules]\nqueue-warning-length = \"many\"\n").find("takes a number"), std::string::npos);
  EXPECT_NE(refusal("[rules]\nqueue-warning-length = -1\n").find("takes a number"), std::string::npos);
}

TEST_F(OptionsTest, TheProgramsOwnArgumentsAreLeftAlone) {
  CLI::App app("", "record");
  RecordingOptions options;
  options.declare(app);
  const auto split = [&](const Arguments& arguments) { return split_target_command(app, arguments); };
  using Pair = std::pair<Arguments, Arguments>;
  EXPECT_EQ(split({"xz", "-T2", "--", "f"}), Pair({}, {"xz", "-T2", "--", "f"}));
  EXPECT_EQ(split({"-F", "99", "xz", "-q"}), Pair({"-F", "99"}, {"xz", "-q"}));
  EXPECT_EQ(split({"-F99", "--output=a", "-q", "xz"}), Pair({"-F99", "--output=a", "-q"}, {"xz"}));
  EXPECT_EQ(split({"-qo", "a", "xz"}), Pair({"-qo", "a"}, {"xz"}));
  EXPECT_EQ(split({"-q", "--", "-odd", "x"}), Pair({"-q"}, {"-odd", "x"}));
  EXPECT_EQ(split({"--output"}), Pair({"--output"}, {}));
  EXPECT_EQ(split({}), Pair({}, {}));
}

TEST(Values, AreChecked) {
  EXPECT_EQ(bytes_value("1.5GiB"), "1610612736");
  EXPECT_EQ(bytes_value("512 k"), "524288");
  EXPECT_EQ(seconds_value("500ms"), "0.5");
  EXPECT_EQ(seconds_value("2m"), "120");
  EXPECT_EQ(seconds_value("0.000000001"), "0.000000001");
  EXPECT_EQ(yes_no_value("ON"), "yes");
  for (const char* wrong : {"", "-1", "1x", "nan", "inf", "1e99", "0x10", "k"}) {
    EXPECT_THROW(bytes_value(wrong), std::invalid_argument) << wrong;
    EXPECT_THROW(seconds_value(wrong), std::invalid_argument) << wrong;
    EXPECT_THROW(frequency_value(wrong), std::invalid_argument) << wrong;
    EXPECT_THROW(yes_no_value(wrong), std::invalid_argument) << wrong;
    EXPECT_THROW(alloc_value(wrong), std::invalid_argument) << wrong;
  }
  EXPECT_THROW(bytes_value("0"), std::invalid_argument);
  EXPECT_THROW(dump_size_value("4k"), std::invalid_argument);
  EXPECT_THROW(frequency_value("10001"), std::invalid_argument);
}

}  // namespace
}  // namespace tailback::tools
