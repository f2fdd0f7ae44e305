#include "sim_session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "engine/judge_grading.hpp"
#include "engine/pipeline.hpp"
#include "model/http_model.hpp"
#include "model/model_factory.hpp"

namespace understudy::simulation {
namespace {

// Passes everything on and remembers what was asked and what came back.
class WatchedModel final : public ChatModel {
 public:
  WatchedModel(std::unique_ptr<ChatModel> model, std::string role, Traffic& traffic)
      : model_(std::move(model)), role_(std::move(role)), traffic_(traffic) {}

  [[nodiscard]] std::string identity() const override { return model_->identity(); }
  [[nodiscard]] std::size_t free_slots() const override { return model_->free_slots(); }
  [[nodiscard]] ModelStatus status() const override { return model_->status(); }
  [[nodiscard]] bool costs_money() const override { return model_->costs_money(); }

  void hold(std::size_t places) override { model_->hold(places); }

  void submit(ChatRequest request) override {
    Asked asked{.role = role_, .id = request.id};
    if (role_ == "judge") asked.id = request.prefix_identity;
    if (traffic_.stored.contains(asked)) {
      violation(asked, "was stored and is asked again");
    }
    const bool may_repeat = role_ == "judge" && request.draw_index > 0;
    if (!traffic_.asked.insert(asked).second && !may_repeat) {
      violation(asked, "is asked twice by one process");
    }
    names_[request.id] = asked;
    model_->submit(std::move(request));
  }

  [[nodiscard]] std::vector<ChatOutcome> poll(int timeout_ms) override {
    std::vector<ChatOutcome> ended = model_->poll(timeout_ms);
    for (const ChatOutcome& outcome : ended) {
      const auto found = names_.find(outcome.id);
      if (found == names_.end()) {
        violation({.role = role_, .id = outcome.id}, "ended twice, or was never asked");
        continue;
      }
      // A failure costs nothing to lose: one that waited out its deadline held no place either.
      if (std::holds_alternative<Completion>(outcome.outcome)) {
        traffic_.delivered.insert(found->second);
      }
      names_.erase(found);
    }
    return ended;
  }

 private:
  void violation(const Asked& asked, const char* what) {
    traffic_.violations.push_back(fmt::format("request {} of {} {}", asked.id, asked.role, what));
  }

  std::unique_ptr<ChatModel> model_;
  std::string role_;
  Traffic& traffic_;
  std::map<std::uint64_t, Asked> names_;
};

class PlannedStop final : public StopRequest {
 public:
  explicit PlannedStop(std::uint64_t after) : after_(after) {}
  [[nodiscard]] int count() const override {
    ++looks_;
    if (looks_ <= after_) return 0;
    return looks_ <= 2 * after_ ? 1 : 2;
  }

 private:
  std::uint64_t after_;
  mutable std::uint64_t looks_ = 0;
};

std::string role_of(const StudyConfig& config, const ModelConfig& model) {
  if (model.model == config.candidate.model) return "candidate";
  return config.deployed && model.model == config.deployed->model ? "deployed" : "judge";
}

}  // namespace

std::uint64_t question_id(const std::string& behavior, std::int64_t key) {
  const std::vector<Behavior>& known = built_in_behaviors();
  const auto found = std::find_if(known.begin(), known.end(),
                                  [&](const Behavior& one) { return one.id == behavior; });
  UNDERSTUDY_ASSERT(found != known.end());
  const bool screens = is_screened_by_judge(*found);
  return question_identity(behavior, screens ? GradingLayer::kScreen : GradingLayer::kVerified,
                           key);
}

SessionEnd run_session(const SimStudy& study, const std::string& directory, const SessionPlan& plan,
                       SimDisk& disk, SimClock& clock, MockResponder& responder, Traffic& traffic) {
  const PlannedStop stop(plan.stop_after);
  Progress progress(Display::kNone, clock, [](std::string_view) {});
  const ModelFactory make = [&](const StudyConfig& config, const ModelConfig& model,
                                Clock&) -> Result<std::unique_ptr<ChatModel>> {
    UNDERSTUDY_TRY(const ModelSpec spec, parse_model_spec(model.model));
    const std::string role = role_of(config, model);
    auto transport = std::make_unique<SimTransport>(
        clock, [&](const MockHttpRequest& request) { return responder.respond(request); },
        plan.network, hash64({role, std::to_string(plan.network_seed)}));
    traffic.transports.push_back(transport.get());
    HttpModelOptions options;
    options.identity = spec.text;
    options.connections_max = config.replay.max_connections;
    options.deadline_ms = std::int64_t{config.replay.deadline_s} * 1000;
    options.attempt_timeout_ms = options.deadline_ms;
    std::vector<Endpoint> endpoints(study.endpoints);
    for (Endpoint& endpoint : endpoints) endpoint.base_url = model.base_url;
    auto made = make_http_model(std::move(options), std::move(endpoints), make_chat_protocol(spec),
                                std::move(transport), clock);
    return std::unique_ptr<ChatModel>(
        std::make_unique<WatchedModel>(std::move(made), role, traffic));
  };
  auto store = StudyStore::open(directory, StudyStore::Mode::kCreate, disk.vfs_name());
  if (!store) return {.error = store.error(), .report = {}};
  Study running{.config = study.config,
                .store = std::move(*store),
                .world = {.clock = clock, .stop = stop, .progress = progress, .make_model = make},
                .options = plan.options,
                .models = {}};
  running.config.budget.tokens = plan.budget_tokens;
  Result<Json> report = run_pipeline(running);
  SessionEnd end;
  for (const SimTransport* transport : traffic.transports) {
    end.in_flight += transport->in_flight();
    const std::size_t limit = study.config.replay.max_connections * study.endpoints;
    if (transport->in_flight_max() > limit) {
      traffic.violations.push_back(
          fmt::format("{} requests in flight, {} allowed", transport->in_flight_max(), limit));
    }
  }
  traffic.transports.clear();
  if (report) {
    end.report = std::move(*report);
  } else {
    end.error = report.error();
  }
  return end;
}

}  // namespace understudy::simulation
