#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "report/html_sections.hpp"
#include "report/html_text.hpp"
#include "report/numbers.hpp"
#include "report/plot.hpp"
#include "report/words.hpp"

namespace understudy {
namespace {

std::string verdicts_table(const BehaviorView& behavior) {
  if (behavior.verdicts.empty()) return "";
  std::string out =
      R"(<table class="detail"><caption>Verdicts</caption><thead><tr>)"
      R"(<th scope="col">Answers of</th>)"
      R"(<th scope="col">Present</th><th scope="col">Absent</th><th scope="col">Ungradable</th>)"
      R"(<th scope="col">Not graded</th><th scope="col">All</th><th scope="col">Verified</th>)"
      R"(</tr></thead><tbody>)";
  const auto reasons = [](const ReasonCounts& counts) {
    if (counts.empty()) return std::string("0");
    return fmt::format(
        "{} <small>{}</small>", with_commas(sum(counts)),
        html_line(counts.size() == 1 ? reason_text(counts[0].first) : reasons_text(counts)));
  };
  for (const auto& [arm, tally] : behavior.verdicts) {
    out +=
        fmt::format(R"(<tr><th scope="row">{}</th><td data-label="Present">{}</td>)"
                    R"(<td data-label="Absent">{}</td><td data-label="Ungradable">{}</td>)"
                    R"(<td data-label="Not graded">{}</td><td data-label="All">{}</td>)"
                    R"(<td data-label="Verified">{}</td></tr>)",
                    html_line(arm_title(arm)), with_commas(tally.present),
                    with_commas(tally.absent), reasons(tally.ungradable), reasons(tally.not_graded),
                    with_commas(tally.total()), with_commas(tally.verified));
  }
  return out + "</tbody></table>\n";
}

void append_rate_row(std::string& out, std::string_view who, std::string_view layer,
                     const std::optional<RateView>& rate) {
  if (!rate) return;
  const auto number = [](const std::optional<double>& value) {
    return value ? with_commas(static_cast<std::uint64_t>(*value)) : std::string("unknown");
  };
  out += fmt::format(R"(<tr><th scope="row">{}</th><td data-label="Rate">{}</td>)"
                     R"(<td data-label="Per 100,000">{}</td>)"
                     R"(<td data-label="Found">{}</td><td data-label="Of">{}</td>)"
                     R"(<td data-label="Method">{}</td></tr>)",
                     html_line(who), layer, html_line(rate_text(*rate, {})), number(rate->k),
                     number(rate->n), html_line(rate->method.empty() ? "unknown" : rate->method));
}

std::string rates_table(const BehaviorView& behavior) {
  std::string rows;
  const auto arm = [&](std::string_view name, const ArmRates& rates) {
    append_rate_row(rows, arm_title(name), "screen", rates.screen);
    append_rate_row(rows, arm_title(name), "verified", rates.verified);
    append_rate_row(rows, arm_title(name), "corrected", rates.corrected);
  };
  arm("deployed", behavior.deployed);
  arm("deployed_replay", behavior.deployed_replay);
  arm("candidate", behavior.candidate);
  append_rate_row(rows, "Forecast", "forecast", behavior.forecast);
  if (rows.empty()) return "";
  return R"(<table class="detail"><caption>Rates</caption><thead><tr>)"
         R"(<th scope="col">Answers of</th>)"
         R"(<th scope="col">Rate</th><th scope="col">Per 100,000</th>)"
         R"(<th scope="col">Found</th><th scope="col">Of</th>)"
         R"(<th scope="col">Method</th></tr>)"
         "</thead><tbody>" +
         rows + "</tbody></table>\n";
}

std::string share_text(double share) {
  return fmt::format("{:.0f}%", 100 * share);
}

std::string recall_table(const BehaviorView& behavior) {
  if (behavior.recall.empty()) return "";
  std::string rows;
  for (const RecallView& channel : behavior.recall) {
    std::string found =
        fmt::format("{} of {}", with_commas(channel.flagged), with_commas(channel.positives));
    if (channel.lo && channel.hi) {
      found += fmt::format(" ({}–{})", share_text(*channel.lo), share_text(*channel.hi));
    }
    const std::string_view note = channel.stale         ? "older grader"
                                  : channel.transferred ? "from elsewhere"
                                                        : "";
    rows += fmt::format(
        R"(<tr><th scope="row">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>)",
        html_line(channel.channel), html_line(channel.judge.empty() ? "not said" : channel.judge),
        html_line(channel.source_model.empty() ? "not said" : channel.source_model),
        html_line(found), note);
  }
  return R"(<table class="detail"><caption>Known cases that the screen flags</caption><thead><tr>)"
         R"(<th scope="col">Channel</th><th scope="col">Screen</th><th scope="col">Text of</th>)"
         R"(<th scope="col">Flagged</th><th scope="col"></th></tr></thead><tbody>)" +
         rows + "</tbody></table>\n";
}

// A long message is shown from a little before its first evidence: a report stays one that opens at
// once, whatever users paste.
constexpr std::size_t kShownBytesMax = 6000;
constexpr std::size_t kShownBeforeEvidence = 1500;

std::string omitted_html(std::size_t bytes) {
  if (bytes == 0) return "";
  return fmt::format(R"(<p class="omitted">{} left out</p>)", counted(bytes, "byte"));
}

std::string message_html(const ExampleMessage& message, bool is_answer) {
  std::size_t first_evidence = message.text.size();
  for (const TextRange& range : message.evidence) {
    first_evidence = std::min(first_evidence, range.begin);
  }
  std::size_t begin = 0;
  if (message.text.size() > kShownBytesMax && first_evidence < message.text.size() &&
      first_evidence > kShownBytesMax / 2) {
    begin = first_evidence - kShownBeforeEvidence;
  }
  begin = utf8_prefix(message.text, begin).size();
  const std::string_view shown =
      utf8_prefix(std::string_view(message.text).substr(begin), kShownBytesMax);
  std::vector<TextRange> evidence;
  for (const TextRange& range : message.evidence) {
    if (range.end > begin) {
      evidence.push_back({range.begin - std::min(range.begin, begin), range.end - begin});
    }
  }
  return fmt::format(R"(<div class="message{}"><p class="role">{}</p>{})"
                     R"(<div class="text" dir="auto">{}</div>{}</div>)",
                     is_answer ? " answer" : "",
                     html_line(message.role.empty() ? "unknown" : message.role),
                     omitted_html(begin), html_marked(shown, std::move(evidence)),
                     omitted_html(message.text.size() - begin - shown.size()));
}

std::string example_html(const ExampleTranscript& example) {
  std::string out = fmt::format(R"(<li><p class="source">{}, verdict {}, <code>{}</code></p>)",
                                html_line(arm_title(example.arm)),
                                html_line(reason_text(example.verdict)), html_line(example.id));
  if (example.prefix_shortened) out += R"(<p class="omitted">earlier messages left out</p>)";
  for (const ExampleMessage& message : example.prefix_tail) out += message_html(message, false);
  out += message_html(example.answer, true);
  return out + "</li>\n";
}

std::string examples_html(const BehaviorView& behavior, const HtmlOptions& options) {
  const auto found = options.examples.find(behavior.name);
  if (found == options.examples.end() || found->second.empty()) return "";
  std::string out = fmt::format(R"(<details class="examples"><summary>{}</summary><ol>)",
                                found->second.size() == 1
                                    ? "1 example transcript"
                                    : fmt::format("{} example transcripts", found->second.size()));
  for (const ExampleTranscript& example : found->second) out += example_html(example);
  return out + "</ol></details>\n";
}

// The finding in a sentence; its heading already says whether the change is sure.
std::string finding_line(const BehaviorView& behavior, const ReportView& view) {
  const bool sure = behavior.finding == Finding::kWorse || behavior.finding == Finding::kBetter;
  std::string out = fmt::format(
      R"(<p class="finding">{}: {}.</p>)", finding_title(behavior.finding),
      html_line(sure                                        ? ratio_text(*behavior.change, {})
                : behavior.finding == Finding::kNotMeasured ? not_measured_reason(behavior)
                                                            : change_text(behavior, view, {})));
  if (!behavior.change) return out;
  const ChangeView& change = *behavior.change;
  std::string details;
  const auto add = [&](const std::string& part) {
    details += (details.empty() ? "" : "; ") + part;
  };
  if (!sure && change.ratio && change.lo && change.hi) {
    add("candidate / deployed " + ratio_text(change, {}));
  }
  if (change.p_value) add(p_value_text("p", *change.p_value));
  if (change.q_value) add(p_value_text("q", *change.q_value));
  if (details.empty()) return out;
  add(change.paired ? "compared answer by answer on the same prefixes"
                    : "compared as independent answers");
  return out + "<p>" + html_line(details) + ".</p>";
}

std::string identity_line(const BehaviorView& behavior) {
  std::string out;
  const auto add = [&](std::string_view label, const std::string& text) {
    if (text.empty()) return;
    out += fmt::format("{}{} {}", out.empty() ? "" : " · ", label, html_line(text));
  };
  add("group", behavior.group);
  add("decided by", behavior.decided_by);
  add("version", behavior.version);
  if (!behavior.hash.empty()) {
    out += fmt::format("{}<code class=\"hash\">{}</code>", out.empty() ? "" : " · ",
                       html_line(behavior.hash));
  }
  return out.empty() ? "" : R"(<p class="identity">)" + out + "</p>";
}

std::string behavior_article(const BehaviorView& behavior, const ReportView& view,
                             const HtmlOptions& options) {
  std::string out =
      fmt::format(R"(<article id="b-{}" class="{}"><h3>{} <code>{}</code></h3>)",
                  html_id(behavior.name), finding_class(behavior.finding),
                  html_line(behavior.title.empty() ? reason_text(behavior.name) : behavior.title),
                  html_line(behavior.name));
  if (!behavior.definition.empty()) {
    out += R"(<p class="definition">)" + html_line(behavior.definition) + "</p>";
  }
  out += finding_line(behavior, view);
  if (behavior.miss_bound_per_100k) {
    out += fmt::format(
        "<p>The screen misses at most {} per 100,000 (upper 95% bound from a "
        "uniform audit, whatever its recall).</p>",
        html_line(bound_text(*behavior.miss_bound_per_100k)));
  }
  if (!behavior.alarms.empty()) {
    out += R"(<ul class="alarms">)";
    for (const std::string& alarm : behavior.alarms) {
      out += fmt::format(R"(<li class="alarm"><code>{}</code>: {}.</li>)", html_line(alarm),
                         html_line(alarm_text(alarm)));
    }
    out += "</ul>";
  }
  out += rates_table(behavior) + recall_table(behavior) + verdicts_table(behavior) +
         examples_html(behavior, options);
  return out + identity_line(behavior) + "</article>\n";
}

}  // namespace

std::string behaviors_section(const ReportView& view, const HtmlOptions& options) {
  std::string out = R"(<section id="behaviors"><h2>Behavior by behavior</h2>)";
  for (const BehaviorView& behavior : view.behaviors) {
    out += behavior_article(behavior, view, options);
  }
  return out + "</section>\n";
}

}  // namespace understudy
