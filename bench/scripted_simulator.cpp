#include "scripted_simulator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/json.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "environment/tool_rules.hpp"

namespace understudy {
namespace {

using Ordered = nlohmann::ordered_json;  // tools print their keys in an order of their own

std::optional<Ordered> parsed(std::string_view text) {
  Ordered value = Ordered::parse(text, nullptr, false);
  if (value.is_discarded()) return std::nullopt;
  return value;
}

/// As Python's json.dumps writes it, which is what most logs hold.
std::string dumped(const Ordered& value) {
  std::string out;
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", Ordered(key).dump(), dumped(member));
    }
    return "{" + out + "}";
  }
  if (!value.is_array()) return value.dump();
  for (const Ordered& item : value) out += (out.empty() ? "" : ", ") + dumped(item);
  return "[" + out + "]";
}

struct Step {
  std::string call;  ///< name and arguments
  std::string result;
};

struct Prompt {
  std::string call;
  std::string shape;
  std::vector<Step> similar, rollout, history;
};

/// Headings begin with the fence, which the first line names.
Prompt read_prompt(std::string_view text) {
  Prompt prompt;
  const std::size_t named = text.find("begin with ");
  const std::string fence(text.substr(named + 11, 16));
  std::vector<Step>* steps = nullptr;
  std::string* data = nullptr;
  for (std::string_view line : split(text.substr(text.find('\n')), '\n')) {
    if (line.starts_with(fence)) {
      line.remove_prefix(std::min(line.size(), fence.size() + 1));
      steps = line.starts_with("the most similar")      ? &prompt.similar
              : line.starts_with("what was recorded")   ? &prompt.rollout
              : line.starts_with("this session so far") ? &prompt.history
                                                        : nullptr;
      data = line.starts_with("the call to answer")      ? &prompt.call
             : line.starts_with("what its results look") ? &prompt.shape
                                                         : nullptr;
    } else if (steps != nullptr && line.starts_with("call")) {
      data = &steps->emplace_back().call;
    } else if (steps != nullptr && line == "result") {
      data = &steps->back().result;
    } else if (data != nullptr && line.starts_with("| ")) {
      if (!data->empty()) *data += '\n';
      *data += line.substr(2);
    } else {
      data = nullptr;
    }
  }
  return prompt;
}

Ordered arguments_of(const std::string& call) {
  const std::size_t space = call.find(' ');
  const auto value = parsed(space == std::string::npos ? "{}" : call.substr(space + 1));
  return value && value->is_object() ? *value : Ordered::object();
}

void replace_all(std::string& text, const std::string& what, const std::string& with) {
  if (what.empty()) return;
  for (std::size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

/// The result of a similar call with this call's arguments in the place of its own.
std::string adapted(const Step& similar, const std::string& call) {
  std::string result = similar.result;
  const Ordered before = arguments_of(similar.call);
  const Ordered now = arguments_of(call);
  for (const auto& [key, value] : before.items()) {
    if (!now.contains(key) || now[key] == value || !value.is_string() || !now[key].is_string()) {
      continue;
    }
    replace_all(result, value.get<std::string>(), now[key].get<std::string>());
  }
  return result;
}

/// What the session has said last of the object that the call names.
std::optional<std::string> said_before(const Prompt& prompt) {
  const Ordered arguments = arguments_of(prompt.call);
  for (std::size_t i = prompt.history.size(); i-- > 0;) {
    const auto result = parsed(prompt.history[i].result);
    if (!result || !result->is_object() || result->empty()) continue;
    const auto first = result->items().begin();
    if (arguments.contains(first.key()) && arguments[first.key()] == first.value()) {
      return prompt.history[i].result;
    }
  }
  return std::nullopt;
}

/// A value of the described shape, with the arguments where their names fit.
class ShapeFiller {
 public:
  ShapeFiller(std::string_view shape, Ordered arguments)
      : rest_(shape), arguments_(std::move(arguments)) {}

  Ordered value(const std::string& name) {
    Ordered first = one(name);
    while (take(" or ")) (void)one(name);
    return first;
  }

 private:
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::string key() {
    std::size_t end = 1;
    while (end < rest_.size() && rest_[end] != '"') end += rest_[end] == '\\' ? 2U : 1U;
    const auto text = parsed(rest_.substr(0, end + 1));
    rest_.remove_prefix(std::min(rest_.size(), end + 1));
    return text && text->is_string() ? text->get<std::string>() : "key";
  }
  Ordered one(const std::string& name) {
    if (arguments_.contains(name) && !arguments_[name].is_structured()) {
      if (take("string") || take("number") || take("boolean")) return arguments_[name];
    }
    if (take("string")) return "sample " + name;
    if (take("number")) return 1;
    if (take("boolean")) return true;
    if (take("null")) return nullptr;
    if (take("[")) {
      Ordered list = Ordered::array({value(name)});
      (void)take(", …]");
      return list;
    }
    Ordered object = Ordered::object();
    if (take("{any key: ")) {
      object["sample_1"] = value(name);
      (void)take(", …}");
      return object;
    }
    if (!take("{")) return "sample";
    while (rest_.starts_with('"')) {
      const std::string member = key();
      const bool optional = take(" (not always)");
      (void)take(": ");
      Ordered filled = value(member);
      if (!optional) object[member] = std::move(filled);
      (void)take(", ");
    }
    (void)take("}");
    return object;
  }

  std::string_view rest_;
  Ordered arguments_;
};

std::string best_answer(const Prompt& prompt, bool careful) {
  for (const Step& step : prompt.rollout) {
    if (step.call == prompt.call) return step.result;
  }
  if (!careful) {
    if (auto said = said_before(prompt)) return *said;
  }
  if (!prompt.similar.empty()) return adapted(prompt.similar.front(), prompt.call);
  if (prompt.shape.empty() || prompt.shape.starts_with("plain text")) return "OK";
  return dumped(ShapeFiller(prompt.shape, arguments_of(prompt.call)).value(""));
}

void set_members(Ordered& value, const std::string& name, const Ordered& to) {
  if (!value.is_structured()) return;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (value.is_object() && it.key() == name) {
      *it = to;
    } else {
      set_members(*it, name, to);
    }
  }
}

/// Puts the values that the question holds against an answer into it.
std::string corrected(const std::string& answer, std::string_view question) {
  auto value = parsed(answer);
  if (!value) return answer;
  for (std::string_view line : split(question, '\n')) {
    const std::size_t is = line.find(" is ");
    if (!line.starts_with("| ") || is == std::string_view::npos) continue;
    const std::string_view about = line.substr(2, is - 2);
    const std::size_t slash = about.rfind('/');
    const auto said = parsed(line.substr(is + 4));
    if (slash == std::string_view::npos || !said) continue;
    set_members(*value, std::string(about.substr(slash + 1)), *said);
  }
  return dumped(*value);
}

}  // namespace

std::string scripted_answer(const SimulatorQuestion& question, const ScriptedErrors& errors) {
  Rng rng(question.seed);
  const bool again = question.attempt > 0;
  const Prompt prompt = read_prompt(question.messages.at(1).content);
  const std::string& last = question.messages.back().content;
  if (again && last.find("contradicts") != std::string::npos) {
    return corrected(question.messages.at(2).content, last);
  }
  std::string answer = best_answer(prompt, again);
  double place = rng.uniform();
  const auto errs = [&](double rate) { return (place -= rate) < 0 && place >= -rate; };
  if (!again && errs(errors.refuses)) return "I'm sorry, but I can't look that up.";
  if (!again && errs(errors.asks)) return "Could you please provide more details?";
  if (!again && errs(errors.misshapen)) {
    auto value = parsed(answer);
    if (!value || !value->is_object() || value->empty()) return "Here is the result: " + answer;
    value->erase(value->begin());
    return dumped(*value);
  }
  if (errs(errors.fenced)) return "```json\n" + answer + "\n```";
  return answer;
}

}  // namespace understudy
