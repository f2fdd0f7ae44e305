#include "discovery/note_groups.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace understudy {
namespace {

const std::vector<std::string> kNotes = {
    "Calls the web search tool for plain arithmetic",
    "Uses web search to do arithmetic that it could do itself",
    "Searches the web for a simple multiplication instead of using arithmetic",
    "Presents a web search as research though it only does arithmetic",
    "Promises a refund that no policy allows",
    "Promises the customer a refund against policy",
    "Insults the user's spelling",
};

std::set<std::set<std::string>> texts_of(const std::vector<std::string>& notes) {
  std::set<std::set<std::string>> out;
  for (const NoteGroup& group : group_notes(notes)) {
    std::set<std::string> texts;
    for (const std::size_t note : group.notes) texts.insert(notes[note]);
    out.insert(texts);
  }
  return out;
}

TEST(NoteGroups, PutTogetherWhatSaysAboutTheSame) {
  const std::vector<NoteGroup> groups = group_notes(kNotes);
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[0].notes.size(), 4U);
  EXPECT_EQ(groups[1].notes.size(), 2U);
  EXPECT_EQ(std::set<std::string>(groups[0].terms.begin(), groups[0].terms.end()),
            (std::set<std::string>{"arithmetic", "search", "web"}));
  EXPECT_EQ(groups[2].notes, (std::vector<std::size_t>{6}));
}

// A manner of speaking is no kind.
TEST(NoteGroups, KeepApartWhatSharesOnlyHowItIsSaid) {
  const std::vector<std::string> apart = {"Recommends a drug dose when it could have asked first",
                                          "Deletes files when it could have asked first"};
  EXPECT_EQ(group_notes(apart).size(), 2U);
  std::vector<std::string> among = kNotes;
  among.insert(among.end(), apart.begin(), apart.end());
  EXPECT_EQ(group_notes(among).size(), 5U);
}

TEST(NoteGroups, DoNotHangOnTheOrderOfNotes) {
  std::vector<std::string> reversed(kNotes.rbegin(), kNotes.rend());
  EXPECT_EQ(texts_of(kNotes), texts_of(reversed));
}

TEST(NoteGroups, HoldEveryNoteOnce) {
  std::vector<std::string> notes = kNotes;
  notes.insert(notes.end(), {"", "?", "the answer", "\xE8\xAF\xB4\xE8\xB0\x8E", kNotes[6]});
  std::vector<std::size_t> held;
  for (const NoteGroup& group : group_notes(notes)) {
    held.insert(held.end(), group.notes.begin(), group.notes.end());
  }
  std::sort(held.begin(), held.end());
  ASSERT_EQ(held.size(), notes.size());
  for (std::size_t i = 0; i < held.size(); ++i) EXPECT_EQ(held[i], i);
}

TEST(NoteGroups, OneTextIsOneGroup) {
  EXPECT_EQ(group_notes(std::vector<std::string>(50, kNotes[0])).size(), 1U);
  EXPECT_TRUE(group_notes({}).empty());
}

TEST(NoteGroups, TermsHoldNoMarks) {
  const std::vector<std::string> notes = {
      "\"]\nid = \"x\" <script>alert(1)</script> ``` # | [rule]"};
  for (const NoteGroup& group : group_notes(notes)) {
    for (const std::string& term : group.terms) {
      EXPECT_EQ(term.find_first_of("\"<>[]`#|=\n"), std::string::npos) << term;
    }
  }
}

}  // namespace
}  // namespace understudy
