// An audit as JSON and for a terminal. Descriptions come from a model that has read hostile text.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "engine/audit_findings.hpp"

namespace understudy {
namespace {

constexpr double kPer = 100'000;

// Of AuditCounts or AuditRecallRow.
std::string reasons_text(const auto& counts) {
  std::string text;
  for (const auto* reasons : {&counts.ungradable, &counts.not_graded}) {
    for (const auto& [reason, count] : *reasons) {
      text += fmt::format("{}{} {}", text.empty() ? " (" : ", ", reason, with_commas(count));
    }
  }
  return text.empty() ? text : text + ")";
}

std::uint64_t sum_of(const std::map<std::string, std::uint64_t>& counts) {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : counts) sum += count;
  return sum;
}

std::string counts_text(std::string_view whose, const AuditCounts& counts) {
  std::string text = fmt::format("  {:<10} {} noted, {} nothing, {} without a verdict{}", whose,
                                 with_commas(counts.noted), with_commas(counts.nothing),
                                 with_commas(sum_of(counts.ungradable) + sum_of(counts.not_graded)),
                                 reasons_text(counts));
  if (counts.left > 0) text += fmt::format(", {} not asked yet", with_commas(counts.left));
  return text + "\n";
}

Json counts_json(const AuditCounts& counts) {
  return {{"asked", counts.asked},           {"noted", counts.noted},
          {"nothing", counts.nothing},       {"ungradable", counts.ungradable},
          {"not_graded", counts.not_graded}, {"left", counts.left}};
}

Json kind_json(const NotedKind& kind) {
  Json notes = Json::array();
  for (std::size_t i = 0; i < std::min<std::size_t>(10, kind.notes.size()); ++i) {
    notes.push_back(note_json(kind.notes[i]));
  }
  return {{"terms", kind.terms},
          {"noted", {{"candidate", kind.candidate}, {"deployed", kind.logged}}},
          {"notes", std::move(notes)}};
}

Json recall_json(const Audit& audit) {
  Json rows = Json::array();
  for (const AuditRecallRow& row : audit.readings.recall) {
    rows.push_back({{"behavior", row.behavior},
                    {"channel", row.channel},
                    {"cases", row.cases},
                    {"known", row.known},
                    {"found", row.found},
                    {"ungradable", row.ungradable},
                    {"not_graded", row.not_graded},
                    {"undecided", row.undecided},
                    {"left", row.left},
                    {"gone", row.gone}});
  }
  const AuditorRecall& recall = audit.recall;
  const bool measured = recall.known > 0;
  const auto share = [&](double value) { return measured ? Json(rounded(value)) : Json(); };
  const double of_known =
      measured ? static_cast<double>(recall.found) / static_cast<double>(recall.known) : 0;
  return {{"known", recall.known},
          {"found", recall.found},
          {"share", share(of_known)},
          {"lo", share(recall.lo)},
          {"hi", share(recall.hi)},
          {"by_chance", rounded(recall.by_chance)},
          {"design_effect", rounded(recall.effect)},
          {"rows", std::move(rows)}};
}

std::string recall_text(const Audit& audit) {
  const AuditorRecall& recall = audit.recall;
  if (recall.known == 0) return "  auditor's recall: not measured\n";
  std::string text = fmt::format(
      "  auditor's recall: {} of {} answers known to show a behavior that was kept off its list "
      "({:.0f}%, {:.0f}–{:.0f}%); it notes {:.2g}% of all answers",
      recall.found, recall.known,
      100 * static_cast<double>(recall.found) / static_cast<double>(recall.known), 100 * recall.lo,
      100 * recall.hi, 100 * recall.by_chance);
  std::string rows;
  for (const AuditRecallRow& row : audit.readings.recall) {
    rows += fmt::format("{}{}{} {}/{}", rows.empty() ? "" : ", ", row.behavior,
                        row.channel == "hidden" ? "" : " (" + terminal_safe(row.channel) + ")",
                        row.found, row.known);
    rows += reasons_text(row);
    if (row.undecided > 0) rows += fmt::format(" and {} that tell nothing", row.undecided);
    if (row.left > 0) rows += fmt::format(" and {} not asked yet", row.left);
    if (row.gone > 0) rows += fmt::format(" and {} that no stored answer is", row.gone);
  }
  return text + "\n    " + rows + "\n";
}

}  // namespace

Json note_json(const AuditNote& note) {
  return {{"arm", note.candidate ? "candidate" : "deployed"},
          {"description", note.description},
          {"messages", note.messages}};
}

Json to_json(const Audit& audit) {
  Json others = Json::array();
  for (std::size_t i = audit.findings; i < audit.kinds.size(); ++i) {
    others.push_back(kind_json(audit.kinds[i]));
  }
  const bool bounded = audit.no_bound.empty();
  Json unseen = Json::array();
  for (std::size_t i = 0; i < audit.unseen.size(); ++i) {
    const auto& [mass, kinds] = audit.unseen[i];
    unseen.push_back(
        {{"kinds_are", resolution_name(static_cast<Resolution>(i))},
         {"kinds_seen", kinds.seen},
         {"kinds_chao", rounded(kinds.estimate)},
         {"kinds_lo", bounded ? Json(rounded(kinds.lo)) : Json()},
         {"share_good_turing", rounded(mass.share_good_turing)},
         {"unseen_per_100k", bounded ? Json(rounded(mass.rate * kPer)) : Json()},
         {"unseen_per_100k_hi", bounded ? Json(rounded(mass.rate_hi * kPer)) : Json()}});
  }
  const auto per_100k = [&](double share) {
    return bounded ? Json(rounded(share * kPer)) : Json();
  };
  const auto reason = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  return {{"auditor", audit.readings.auditor},
          {"named", audit.readings.named},
          {"candidate", counts_json(audit.readings.candidate)},
          {"deployed", counts_json(audit.readings.logged)},
          {"findings", audit.findings},
          {"others", std::move(others)},
          {"no_information", reason(audit.no_information)},
          {"recall", recall_json(audit)},
          {"users", audit.users},
          {"effective_answers", rounded(audit.effective)},
          {"unseen", std::move(unseen)},
          {"no_bound", reason(audit.no_bound)},
          {"missed_wholly_per_100k", per_100k(audit.missed_wholly)},
          {"missed_tenfold_per_100k", per_100k(audit.missed_tenfold)}};
}

std::string kind_name(const NotedKind& kind) {
  std::string name;
  for (const std::string& term : kind.terms) {
    name += (name.empty() ? "" : " · ") + terminal_safe(term);
  }
  return name.empty() ? terminal_safe(kind.notes.front().description) : name;
}

std::string audit_text(const Audit& audit, const std::string& directory) {
  const AuditReadings& readings = audit.readings;
  std::string text = fmt::format(
      "\nAn auditor, {}, read {} answers of the candidate and the logged ones in the same places, "
      "not knowing whose they were, for what is unwanted and not among {} named behaviors:\n",
      terminal_safe(readings.auditor), with_commas(readings.answers), readings.named);
  text += counts_text("candidate", readings.candidate) + counts_text("logged", readings.logged);
  const std::uint64_t left = readings.candidate.left + readings.logged.left;
  if (left > 0) {
    text += fmt::format(
        "  Not all is read, or not with this list: `understudy discover {} --audit {}` goes on.\n",
        terminal_safe(directory), readings.answers);
  }
  if (!audit.no_information.empty()) {
    text += fmt::format("  Its verdicts carry no information: {}.\n", audit.no_information);
  }
  const std::size_t notes = readings.notes.size();
  if (notes == 0) return text + "  It noted nothing.\n";
  if (audit.kinds.size() == 1) {
    text += fmt::format("  All {} notes are of one kind.\n", notes);
  } else {
    text += fmt::format("  {} notes of {} kinds.\n", notes, audit.kinds.size());
  }
  if (audit.findings == 0) text += "  No kind is shown to be commoner with either model.\n";
  return text;
}

std::string unseen_text(const Audit& audit) {
  std::string text = "\nWhat the audit has not met (95% bounds; notes as they are, unconfirmed)\n";
  text += recall_text(audit);
  text += fmt::format("  read of {} users; if all of a user's answers are alike, {:.0f} answers\n",
                      with_commas(audit.users), audit.effective);
  const bool bounded = audit.no_bound.empty();
  for (std::size_t i = 0; i < audit.unseen.size(); ++i) {
    const auto& [mass, kinds] = audit.unseen[i];
    text += fmt::format("  by {:<15} {:.0f} kinds of notes{}; ",
                        resolution_name(static_cast<Resolution>(i)), kinds.seen,
                        bounded ? fmt::format(", at least {:.0f} there are", kinds.lo) : "");
    text += fmt::format("of kinds and their users, {:.0f}% are kinds with one user",
                        100 * (kinds.seen > 0 ? mass.share_good_turing : 0));
    if (bounded) {
      text += fmt::format("; of kinds never noted: {:.3g} per 100k answers, at most {:.3g}",
                          mass.rate * kPer, mass.rate_hi * kPer);
    }
    text += "\n";
  }
  if (!bounded) return text + fmt::format("  No bound on what it missed: {}.\n", audit.no_bound);
  if (audit.missed_wholly >= 1) {
    return text +
           "  Too little was read, or is known of recall, to say that no behavior was missed.\n";
  }
  text += fmt::format("  No behavior above {:.3g} per 100k answers was missed altogether",
                      audit.missed_wholly * kPer);
  if (audit.missed_tenfold < 1) {
    text += fmt::format(", none above {:.3g} noted with fewer than ten users",
                        audit.missed_tenfold * kPer);
  }
  return text + fmt::format(
                    " (of up to ten behaviors, if they are found as the {} that were put to the "
                    "auditor, and one in {} with any recall).\n",
                    audit.recall.behaviors.size(), audit.recall.behaviors.size() + 1);
}

}  // namespace understudy
