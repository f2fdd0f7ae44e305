#include "report/html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>

#include "base/embedded.hpp"
#include "base/hash.hpp"
#include "base/text.hpp"
#include "report/html_sections.hpp"
#include "report/html_text.hpp"
#include "report/numbers.hpp"
#include "report/plot.hpp"
#include "report/words.hpp"

namespace understudy {

std::span<const EmbeddedFile> embedded_report_assets();

namespace {

std::string_view stylesheet() {
  for (const EmbeddedFile& file : embedded_report_assets()) {
    if (file.name == "report.css") return file.bytes;
  }
  UNDERSTUDY_ASSERT(false);
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      const auto byte = i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U;
      group = (group << 8) | byte;
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += i + j > bytes.size() ? '=' : kDigits[(group >> (18 - 6 * j)) & 63U];
    }
  }
  return out;
}

struct Names {
  std::string study;
  std::string deployed;
  std::string candidate;
};

Names names_of(const ReportView& view, const HtmlOptions& options) {
  const auto model = [&](std::string_view arm, std::string_view otherwise) {
    const ArmView* found = view.arm(arm);
    return found == nullptr || found->model.empty() ? std::string(otherwise) : found->model;
  };
  return {view.study.name.empty() ? options.study_name : view.study.name,
          model("deployed", "the deployed model"), model("candidate", "the candidate")};
}

std::size_t count_of(const ReportView& view, Finding finding) {
  return static_cast<std::size_t>(
      std::count_if(view.behaviors.begin(), view.behaviors.end(),
                    [finding](const BehaviorView& b) { return b.finding == finding; }));
}

std::string tiles(const ReportView& view) {
  constexpr std::array<std::pair<Finding, std::string_view>, 5> kTiles = {
      {{Finding::kWorse, "surely more often"},
       {Finding::kBetter, "surely less often"},
       {Finding::kUndecided, "seen, can’t tell yet"},
       {Finding::kUnseen, "not seen once"},
       {Finding::kNotMeasured, "not measured"}}};
  std::string out = R"(<ul class="tiles">)";
  for (const auto& [finding, text] : kTiles) {
    const std::size_t count = count_of(view, finding);
    const std::string body = fmt::format(R"(<b>{}</b> <span>{}</span>)", count, text);
    out += count == 0 ? fmt::format(R"(<li class="none">{}</li>)", body)
                      : fmt::format(R"(<li class="{0}"><a href="#{0}">{1}</a></li>)",
                                    finding_class(finding), body);
  }
  return out + "</ul>\n";
}

std::string arm_fact(const ReportView& view, const ArmView& arm) {
  std::string out =
      fmt::format("<b>{}</b><br>", html_line(arm.model.empty() ? "model not named" : arm.model));
  if (arm.name == "deployed") {
    out += counted(arm.draws.completed, "logged answer");
    if (view.eligible) out += " in " + counted(*view.eligible, "conversation");
    if (view.clusters) out += fmt::format(" of {} people", with_commas(*view.clusters));
  } else {
    out += counted(arm.draws.completed, "answer");
    if (view.sampled && view.frame) {
      out += fmt::format(" on {} of {} prefixes", with_commas(*view.sampled),
                         with_commas(*view.frame));
    }
  }
  const std::uint64_t failed = sum(arm.draws.failed);
  if (failed > 0) {
    out += fmt::format("; {} failed ({})", with_commas(failed),
                       html_line(reasons_text(arm.draws.failed)));
  }
  return out;
}

std::string facts(const ReportView& view) {
  std::string out = R"(<dl class="facts">)";
  const auto add = [&](std::string_view term, const std::string& html) {
    if (!html.empty())
      out += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", html_line(term), html);
  };
  for (const ArmView& arm : view.arms) add(arm_title(arm.name), arm_fact(view, arm));
  add("Graders", html_line(graders_text(view.study)));
  add("Logs", html_line(view.study.source));
  add("Rates", html_line(view.study.traffic));
  return out + "</dl>\n";
}

std::string page_header(const ReportView& view, const Names& names) {
  std::string out = "<header><p class=\"eyebrow\">Understudy";
  if (!names.study.empty()) out += " · study " + html_line(names.study);
  out += fmt::format(
      "</p>\n<h1>What would change if <em>{}</em> replaced <em>{}</em>?</h1>\n"
      "<p class=\"lede\">The candidate answered real conversations in the deployed model’s place; "
      "the same graders read both. {} tracked, per 100,000 {}:</p>\n",
      html_name(names.candidate), html_name(names.deployed),
      counted(view.behaviors.size(), "behavior"), html_line(unit_plural(view.unit)));
  out += tiles(view) + facts(view);
  return out +
         "<nav aria-label=\"Sections\"><a href=\"#rates\">Rates</a> <a href=\"#limits\">What this "
         "can’t see</a> <a href=\"#counts\">Counts</a> <a href=\"#behaviors\">Behavior by "
         "behavior</a> <a href=\"#reading\">How to read</a> <a href=\"#methods\">Methods</a></nav>"
         "</header>\n";
}

std::string limits_section(const ReportView& view) {
  std::string out = R"(<section id="limits"><h2>What this can’t see</h2><ul>)";
  const auto add = [&](std::string text) {
    if (!text.empty() && text[0] >= 'a' && text[0] <= 'z')
      text[0] = static_cast<char>(text[0] - 32);
    out += "<li>" + html_line(text) + "</li>";
  };
  // The report's own limits say more than the short forms that the terminal has room for.
  std::set<std::string> said;
  for (const Limit& limit : view.limits) {
    said.insert(limit.code);
    add(limit.text.empty() ? reason_text(limit.code) : limit.text);
  }
  if (!said.contains("no_log")) {
    add("uses that no log holds: replay looks backward, and a new model brings new ones");
  }
  const ArmView* candidate = view.arm("candidate");
  if (!said.contains("floor") && candidate != nullptr && candidate->draws.completed >= 3) {
    add(fmt::format("anything rarer than about 1 in {} answers: {} were drawn",
                    with_commas(rarest_visible(candidate->draws.completed)),
                    with_commas(candidate->draws.completed)));
  }
  return out + "</ul></section>\n";
}

std::string reading_section(const ReportView& view) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kTerms = {
      {{"Rate (interval)",
        "How many of 100,000 would show the behavior, and the range that the data leave open. A "
        "rate "
        "is rounded to what its interval bears; the exact numbers are in report.json."},
       {"Now",
        "The deployed model’s logged answers, graded by the same graders over the same window."},
       {"Replayed",
        "The deployed model asked again on the same prefixes. Where it differs from “now”, part of "
        "the difference between candidate and “now” comes from replaying, not from the model."},
       {"Candidate, forecast",
        "The candidate’s answers to the deployed model’s prefixes; the forecast also uses what is "
        "known of the present rate where that helps."},
       {"Surely more or less often",
        "The interval of the ratio candidate / deployed excludes 1. With many behaviors some of "
        "these are chance: q is the share of false ones to expect among those with a q this "
        "small."},
       {"Can’t tell yet",
        "The data fit both. The number of further prefixes would tell a change of the size seen "
        "(at "
        "least 1.5-fold) four times in five, if the rates are what they look like."},
       {"Floor",
        "The rate that “not seen once” still leaves possible: the upper end of the interval."},
       {"Screen, verified, corrected",
        "What the first grader flags; what a stronger look confirms of it; that, divided by the "
        "share of known cases that the first grader finds."},
       {"Ungradable, not graded",
        "The grader looked and can’t say, or nobody looked. Neither counts as absent."}}};
  std::string out = R"(<section id="reading"><h2>How to read this</h2><dl class="terms">)";
  for (const auto& [term, text] : kTerms) {
    out += fmt::format("<dt>{}</dt><dd>{}</dd>", html_line(term), html_line(text));
  }
  out += view.unit == "final_turn"
             ? "<dt>Unit: final turn</dt><dd>The last turn of a conversation, every conversation "
               "alike.</dd>"
             : "<dt>Unit: turn</dt><dd>A user’s message and the answer to it; every turn counts "
               "alike, so long conversations count more.</dd>";
  return out + "</dl></section>\n";
}

std::string methods_section(const ReportView& view, const HtmlOptions& options) {
  std::set<std::string> methods;
  const auto note = [&](const std::optional<RateView>& rate) {
    if (rate && !rate->method.empty()) methods.insert(rate->method);
  };
  for (const BehaviorView& behavior : view.behaviors) {
    for (const ArmRates* arm :
         {&behavior.deployed, &behavior.deployed_replay, &behavior.candidate}) {
      note(arm->screen);
      note(arm->verified);
      note(arm->corrected);
    }
    note(behavior.forecast);
  }
  std::string out = R"(<section id="methods"><h2>Methods</h2><dl class="facts">)";
  const auto add = [&](std::string_view term, std::string_view text) {
    if (text.empty()) return;
    out += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", term, html_line(text));
  };
  const StudyView& study = view.study;
  add("Intervals", level_text(study.level));
  std::string list;
  for (const std::string& method : methods) list += (list.empty() ? "" : "; ") + method;
  add("Estimators", list);
  add("Clustered by", study.cluster);
  add("Selection of prefixes", study.design);
  if (study.draws_per_prefix) add("Draws a prefix", with_commas(*study.draws_per_prefix));
  if (study.prefix_tokens_max) {
    add("Longest prefix", with_commas(*study.prefix_tokens_max) + " tokens");
  }
  if (study.window_tokens) {
    add("Graded part of an answer",
        "first " + with_commas(*study.window_tokens) + " tokens, both models");
  }
  add("Seed", study.seed);
  add("Made by", view.version.empty() ? "" : "understudy " + view.version);
  if (!view.manifest_hash.empty()) {
    out += fmt::format("<div><dt>Manifest</dt><dd><code class=\"hash\">{}</code></dd></div>",
                       html_line(view.manifest_hash));
  }
  out += "</dl>";
  for (const std::string& line : options.notes) out += "<p>" + html_line(line) + "</p>";
  return out + "</section>\n";
}

}  // namespace

std::string page_head(const std::string& title) {
  // Only this page's own style is let in: no script, no image, no font, no connection, no form.
  // Even markup that got past the escaping would do nothing.
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<title>{}</title>\n<style>{}</style></head>\n",
      base64(as_bytes(sha256(stylesheet()))), html_line(title), stylesheet());
}

Result<std::string> html_report(const Json& report, const HtmlOptions& options) {
  UNDERSTUDY_TRY(const ReportView view, report_view(report));
  const Names names = names_of(view, options);
  std::string out =
      page_head(fmt::format("{}: {} in place of {}", names.study.empty() ? "Study" : names.study,
                            names.candidate, names.deployed)) +
      "<body>\n";
  out += page_header(view, names);
  out += "<main>\n" + rates_section(view) + limits_section(view) + counts_section(view);
  out += behaviors_section(view, options) + reading_section(view) + methods_section(view, options);
  return out + "</main>\n</body></html>\n";
}

}  // namespace understudy
