#pragma once
// For the tests of this module: the fixture and the expected outputs in tests/cases/report/.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/json.hpp"

namespace understudy::testdata {

inline std::string read(const std::string& path_in_repository) {
  std::ifstream file(std::string(UNDERSTUDY_SOURCE_DIR) + "/" + path_in_repository,
                     std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path_in_repository;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// A study as it could be: sure changes both ways, undecided, unseen, ungradable and unjudged
/// behaviors, failed draws, alarms, a replayed deployed model.
inline Json report() {
  return *parse_json(read("tests/cases/report/report.json"));
}

/// Compares with a file in tests/cases/report/; where they differ, what came out is left in a file
/// that can be copied there once it has been read and found right.
inline void expect_golden(const std::string& name, const std::string& actual) {
  if (read("tests/cases/report/" + name) == actual) return;
  const std::string left = ::testing::TempDir() + name;
  std::ofstream(left, std::ios::binary) << actual;
  ADD_FAILURE() << "differs from tests/cases/report/" << name << "; the new text is in " << left
                << ":\n"
                << actual;
}

}  // namespace understudy::testdata
