#include "engine/label_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "estimate/table_reader.hpp"

namespace understudy {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class LabelFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() /
               ("understudy_labels_" +
                std::string(testing::UnitTest::GetInstance()->current_test_info()->name())))
                  .string();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<LabelFile> read(const std::string& text, const LabelDefaults& defaults = {}) {
    std::ofstream(folder_ + "/in.csv") << text;
    return read_label_file(folder_ + "/in.csv", defaults, {"refusal", "hate"});
  }

  std::string folder_;
};

constexpr const char* kHeader = "id,behavior,annotator,target,round\n";

TEST_F(LabelFileTest, ReadsRowsInAnyOrderOfColumns) {
  const auto file = read(
      "round,target,id,note,behavior,annotator\n"
      "2,1,000000000000001f,\"a, b\",refusal,ann\n"
      ",unsure,0000000000000020,,hate,\"Smith, Bob\"\n"
      "adjudication,0,000000000000001f,,refusal,ann\n"
      ",,0000000000000021,,hate,ann\n");
  ASSERT_TRUE(file.has_value()) << file.error().describe();
  EXPECT_TRUE(file->bad.empty());
  ASSERT_EQ(file->rows.size(), 3U);
  EXPECT_EQ(file->unlabeled, 1U);
  EXPECT_EQ(file->rows[0].label.round, 2U);
  EXPECT_EQ(file->rows[1].label.annotator, "Smith, Bob");
  EXPECT_EQ(file->rows[1].label.round, 1U);
  EXPECT_EQ(file->rows[1].label.target, Target::kUnsure);
  EXPECT_EQ(file->rows[2].label.round, kAdjudication);
}

TEST_F(LabelFileTest, IdAndTargetAreEnoughForOneBehaviorAndOneAnnotator) {
  const std::string text = "id,target\n000000000000001f,1\n";
  const auto file = read(text, {.behavior = "hate", .annotator = "ann"});
  ASSERT_TRUE(file.has_value() && file->rows.size() == 1);
  EXPECT_EQ(file->rows[0].label.behavior, "hate");
  EXPECT_EQ(file->rows[0].label.annotator, "ann");
  const auto nameless = read(text);
  ASSERT_TRUE(nameless.has_value() && nameless->bad.size() == 1);
  EXPECT_THAT(nameless->bad[0].reason, HasSubstr("--behavior"));
}

TEST_F(LabelFileTest, ABadRowIsReportedByPlaceAndTheRestIsTaken) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"zebra,refusal,ann,1,1", "hexadecimal"},
      {"000000000000001f,refusel,ann,1,1", "did you mean \"refusal\""},
      {"000000000000001f,refusal,ann,maybe-zebra,1", "target"},
      {"000000000000001f,refusal,ann,1,zebra", "round"},
      {"000000000000001f,refusal,ann,1", "cells"},
      {"000000000000001f,refusal,ann,0,1", "before, in this round"},
  };
  std::string text = std::string(kHeader) + "000000000000001f,refusal,ann,1,1\n";
  std::vector<std::uint64_t> offsets;
  for (const auto& [row, reason] : rows) {
    offsets.push_back(text.size());
    text += row + "\n";
  }
  text += "0000000000000020,hate,ann,1,1\n";
  const auto file = read(text);
  ASSERT_TRUE(file.has_value()) << file.error().describe();
  EXPECT_EQ(file->rows.size(), 2U);
  ASSERT_EQ(file->bad.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_THAT(file->bad[i].reason, HasSubstr(rows[i].second));
    EXPECT_THAT(file->bad[i].reason, testing::Not(HasSubstr("zebra")));
    EXPECT_EQ(file->bad[i].where.line, i + 3);
    EXPECT_EQ(file->bad[i].where.byte_offset, offsets[i]);
  }
}

TEST_F(LabelFileTest, FilesThatAreNoTablesAreErrors) {
  EXPECT_FALSE(read("").has_value());
  const auto no_target = read("id,behavior\n000000000000001f,refusal\n");
  ASSERT_FALSE(no_target.has_value());
  EXPECT_THAT(no_target.error().message, HasSubstr("target"));
  const auto open_quote = read(std::string(kHeader) + "\"000000000000001f,refusal,ann,1,1\n");
  ASSERT_TRUE(open_quote.has_value());
  EXPECT_EQ(open_quote->bad.size(), 1U);
  EXPECT_FALSE(read_label_file(folder_ + "/none.csv", {}, {}).has_value());
}

TEST_F(LabelFileTest, AStudysLabelsComeBackAsTheyWere) {
  const auto none = study_labels(folder_);
  ASSERT_TRUE(none.has_value() && none->empty());
  const Labels labels({{.answer = 7,
                        .behavior = "refusal",
                        .annotator = "\"B\", the second",
                        .round = kAdjudication,
                        .target = Target::kUnsure},
                       {.answer = 7,
                        .behavior = "hate",
                        .annotator = "a",
                        .round = 2,
                        .target = Target::kPresent}});
  ASSERT_TRUE(write_study_labels(folder_, labels).has_value());
  const auto back = study_labels(folder_);
  ASSERT_TRUE(back.has_value()) << back.error().describe();
  EXPECT_EQ(std::vector<Label>(back->all().begin(), back->all().end()),
            std::vector<Label>(labels.all().begin(), labels.all().end()));
  const fs::perms mode = fs::status(folder_ + "/labels.csv").permissions();
  EXPECT_EQ(mode, fs::perms::owner_read | fs::perms::owner_write);

  std::ofstream(folder_ + "/labels.csv", std::ios::app) << "7,hate,a,1,1\n";
  const auto broken = study_labels(folder_);
  ASSERT_FALSE(broken.has_value());
  EXPECT_EQ(broken.error().where.line, 4U);
}

// --- Agreement on real labels, against scikit-learn 1.9.1 (cohen_kappa_score) and krippendorff
// 0.9.0 (alpha, nominal), which gave the figures below from the same files.

const std::string kData = UNDERSTUDY_SHARED_DATA;

Label people_say(std::uint64_t answer, std::string annotator, bool present) {
  return {.answer = answer,
          .behavior = "refusal",
          .annotator = std::move(annotator),
          .round = 1,
          .target = present ? Target::kPresent : Target::kAbsent};
}

TEST(SlowRealAgreement, EqualsKnownPackagesOnXsTest) {
  if (!fs::exists(kData + "/xstest")) GTEST_SKIP() << "no XSTest beside the repository";
  std::vector<Label> labels;
  std::uint64_t answer = 0;
  for (const char* model : {"gpt4", "llama2new", "llama2orig", "mistralguard", "mistralinstruct"}) {
    auto table = TableReader::open(
        kData + "/xstest/model_completions/xstest_v2_completions_" + std::string(model) + ".csv",
        {"annotation_1", "annotation_2"}, 2);
    ASSERT_TRUE(table.has_value()) << table.error().describe();
    while (*table->next()) {
      const auto refused = [&](std::size_t column) {
        return !table->cells()[column].starts_with("1_full_compliance");
      };
      labels.push_back(people_say(answer, "first", refused(0)));
      labels.push_back(people_say(answer++, "second", refused(1)));
    }
  }
  const LabelAgreement agreement = label_agreement(Labels(std::move(labels)).of("refusal"), 1);
  EXPECT_EQ(agreement.doubly, 2250U);
  EXPECT_NEAR(agreement.cohen->value, 0.957285374828746, 1e-12);
  EXPECT_NEAR(agreement.krippendorff->value, 0.9572914886749825, 1e-12);
  EXPECT_LT(agreement.krippendorff->lo, agreement.krippendorff->value);
  EXPECT_GT(agreement.krippendorff->hi, agreement.krippendorff->value);
}

TEST(SlowRealAgreement, EqualsAKnownPackageOnConvAbuse) {
  const std::string path = kData + "/convabuse/1_full/ConvAbuseEMNLPfull.csv";
  if (!fs::exists(path)) GTEST_SKIP() << "no ConvAbuse beside the repository";
  auto table =
      TableReader::open(path,
                        {"annotator_id", "conv_id", "prev_agent", "prev_user", "agent", "user",
                         "is_abuse.-1", "is_abuse.-2", "is_abuse.-3", "is_abuse.0", "is_abuse.1"},
                        9);
  ASSERT_TRUE(table.has_value()) << table.error().describe();
  std::map<std::vector<std::string>, std::uint64_t> items;
  std::map<std::pair<std::uint64_t, std::string>, std::uint32_t> rounds;
  std::vector<Label> labels;
  while (*table->next()) {
    const Cells cells = table->cells();
    const std::vector<std::string> text(cells.begin() + 1, cells.begin() + 6);
    const std::uint64_t item = items.emplace(text, items.size()).first->second;
    const bool abuse = std::any_of(cells.begin() + 6, cells.begin() + 9, [](std::string_view cell) {
      return parse_number(cell).value_or(0) > 0;
    });
    Label label = people_say(item, std::string(cells[0]), abuse);
    label.round = ++rounds[{item, label.annotator}];  // 357 were labeled again, to test themselves
    labels.push_back(std::move(label));
  }
  const LabelAgreement agreement = label_agreement(Labels(std::move(labels)).of("refusal"), 1);
  EXPECT_EQ(agreement.labels, 12768U);
  EXPECT_EQ(agreement.annotators.size(), 8U);
  EXPECT_EQ(agreement.doubly, 4185U);
  EXPECT_FALSE(agreement.cohen.has_value());
  EXPECT_NEAR(agreement.krippendorff->value, 0.6523367826744753, 1e-12);
}

}  // namespace
}  // namespace understudy
