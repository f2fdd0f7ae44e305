#include "source_rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace understudy::source_rules {
namespace {

namespace fs = std::filesystem;

/// Every text of ours: sources, scripts, build files, documents. Not what was built, downloaded or
/// measured, and no golden data.
std::vector<File> read_tree(const fs::path& root) {
  static const std::set<std::string> kSkipped = {".git", "build", "demo", ".cache"};
  static const std::set<std::string> kTexts = {".cpp",  ".hpp",  ".cmake", ".txt", ".md",
                                               ".toml", ".json", ".js",    ".css", ".html",
                                               ".sh",   ".sql",  ""};
  std::vector<File> files;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::end(it); ++it) {
    const fs::path& path = it->path();
    if (it->is_directory()) {
      const bool skipped = it.depth() == 0 && kSkipped.contains(path.filename().string());
      if (skipped || fs::exists(path / "study.db")) {  // somebody tried the program here
        it.disable_recursion_pending();
      }
      continue;
    }
    if (!it->is_regular_file() || !kTexts.contains(path.extension().string())) continue;
    if (path.filename() == "LICENSE" || path.filename() == ".git") continue;
    std::ifstream in(path, std::ios::binary);
    files.push_back({path.lexically_relative(root).generic_string(),
                     {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()}});
  }
  std::sort(files.begin(), files.end(), [](auto& a, auto& b) { return a.path < b.path; });
  return files;
}

const Modules kModules = {{"base", {}}, {"stats", {"base"}}, {"grading", {"base", "records"}}};

/// What the rules say about one planted file.
std::string planted(std::string path, std::string text) {
  std::string all;
  for (const Violation& violation : check({{std::move(path), std::move(text)}}, kModules)) {
    all += std::to_string(violation.line) + ": " + violation.what + "\n";
  }
  return all;
}

TEST(SourceRules, TreeIsClean) {
  const fs::path root = UNDERSTUDY_SOURCE_DIR;
  const std::vector<File> files = read_tree(root);
  ASSERT_GT(files.size(), 20U) << "found no sources under " << root;
  const auto build = std::find_if(files.begin(), files.end(),
                                  [](const File& file) { return file.path == "CMakeLists.txt"; });
  ASSERT_NE(build, files.end());
  const Modules modules = parse_modules(build->text);
  ASSERT_TRUE(modules.contains("stats"));
  EXPECT_EQ(modules.at("stats"), std::set<std::string>{"base"}) << "kernels take plain spans";
  for (const Violation& violation : check(files, modules)) {
    ADD_FAILURE() << violation.path << ":" << violation.line << ": " << violation.what;
  }
}

TEST(SourceRules, FindsWhatIsTooLong) {
  EXPECT_NE(planted("src/base/a.cpp", "//" + std::string(99, 'x') + "\n"), "");
  EXPECT_EQ(planted("src/base/a.cpp", "//" + std::string(98, 'x') + "\n"), "");
  std::string word;
  for (int i = 0; i < 98; ++i) word += "é";
  EXPECT_EQ(planted("src/base/a.cpp", "//" + word + "\n"), "") << "columns are code points";

  EXPECT_EQ(planted("src/base/a.cpp", "auto p = R\"(" + std::string(99, 'x') + ")\";\n"), "");

  std::string lines;
  for (int i = 0; i < 701; ++i) lines += "int x;\n";
  EXPECT_NE(planted("src/base/a.cpp", lines), "");
  std::string body;
  for (int i = 0; i < 95; ++i) body += "  x();\n";
  EXPECT_NE(planted("src/base/a.cpp", "void f(int a,\n       int b) {\n" + body + "}\n"), "");
  EXPECT_EQ(planted("src/base/a.cpp", "struct S {\n" + body + "};\n}  // namespace\n"), "");
}

TEST(SourceRules, FindsCallsOutsideTheirHomes) {
  const std::vector<std::string> calls = {
      "auto x = getenv(\"A\");\n",
      "auto t = std::chrono::steady_clock::now();\n",
      "auto t = std::chrono::system_clock::now();\n",
      "std::this_thread::sleep_for(1s);\n",
      "int r = std::rand();\n",
      "#include <random>\n",
      "std::normal_distribution<double> d;\n",
      "try { f(); } catch (...) {\n}\n",
      "try { f(); } catch (...) { /* never mind */ }\n",
      "double x = std::numeric_limits<double>::quiet_NaN();\n",
      "double x = std::stod(text);\n",
  };
  for (const std::string& call : calls) EXPECT_NE(planted("src/base/a.cpp", call), "") << call;
  EXPECT_EQ(planted("src/cli/a.cpp", calls[0]), "") << "getenv is at home in the command line";
  EXPECT_EQ(planted("src/base/clock.cpp", calls[1]), "");
  EXPECT_EQ(planted("src/base/a.cpp", "try { f(); } catch (...) { throw; }\n"), "");
}

TEST(SourceRules, ReadsCodeAndNotWhatIsSaidAboutIt) {
  EXPECT_EQ(planted("src/base/a.cpp", "// getenv is banned\n/* getenv */ const x = \"getenv\";\n"),
            "");
  EXPECT_NE(planted("src/base/a.cpp", "const int n = 1'000; getenv('a');\n"), "");
  EXPECT_NE(planted("src/base/a.cpp", "auto s = R\"(a\")\"; getenv(s);\n"), "");
  EXPECT_EQ(code_only("a/*b*/'\\''\"//\" // c\nd"), "a     '  '\"  \"     \nd");
}

TEST(SourceRules, FindsIncludesAgainstTheDirection) {
  EXPECT_EQ(planted("src/stats/a.cpp", "#include \"base/rng.hpp\"\n#include \"stats/b.hpp\"\n"),
            "");
  EXPECT_NE(planted("src/stats/a.cpp", "#include \"records/draw.hpp\"\n"), "");
  EXPECT_NE(planted("src/stats/a.cpp", "#include \"b.hpp\"\n"), "");
  EXPECT_NE(planted("src/base/a_test.cpp", "#include \"stats/b.hpp\"\n"), "") << "tests as well";
}

TEST(SourceRules, ModulesAreReadFromTheBuild) {
  const Modules modules =
      parse_modules("understudy_module(a DEPS x::y b\n      c)\nunderstudy_module(b DEPS d)\n");
  EXPECT_EQ(modules.at("a"), (std::set<std::string>{"b", "c", "x::y"}));
  EXPECT_EQ(modules.at("b"), (std::set<std::string>{"d"}));
}

TEST(SourceRules, FindsWordsAndPathsThatMustNotBeCommitted) {
  EXPECT_NE(planted("docs/a.md", "TODO: more\n"), "");
  EXPECT_NE(planted("src/base/a.cpp", "// FIXME\n"), "");
  EXPECT_NE(planted("script/setup", "cp /root/x .\n"), "");
  EXPECT_NE(planted("docs/a.md", "see /home/someone/x\n"), "");
  EXPECT_EQ(planted("docs/a.md", "see src/work/x and ~/home/x\n"), "");
  EXPECT_NE(planted("script/setup", "pip install --index-url https://PyPI.org/simple\n"), "");
  EXPECT_NE(planted("src/base/utils/a.cpp", "int x;\n"), "");
  EXPECT_NE(planted("src/base/helpers.hpp", "#pragma once\n"), "");
  EXPECT_NE(planted("src/base/a.hpp", "int x;\n"), "") << "#pragma once is missing";
}

}  // namespace
}  // namespace understudy::source_rules
