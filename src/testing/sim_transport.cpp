#include "testing/sim_transport.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/assert.hpp"

namespace understudy {

NetworkFaults swarm_faults(std::uint64_t seed) {
  Rng rng(seed, 0x5157A2);
  NetworkFaults faults;
  for (double NetworkFaults::*const kind :
       {&NetworkFaults::reset, &NetworkFaults::stall, &NetworkFaults::drip,
        &NetworkFaults::cut_body, &NetworkFaults::html, &NetworkFaults::empty,
        &NetworkFaults::error_inside, &NetworkFaults::wrong_shape, &NetworkFaults::wrong_id,
        &NetworkFaults::oversized, &NetworkFaults::server_error, &NetworkFaults::tls,
        &NetworkFaults::episode}) {
    const bool on = rng.below(2) == 0;
    const double weight = rng.uniform();
    // Up to a third of all attempts, mostly far less.
    faults.*kind = on ? weight * weight * weight / 3 : 0;
  }
  faults.episode_ms_max = 100 + static_cast<std::int64_t>(rng.below(60'000));
  faults.latency_ms_max = 1 + static_cast<std::int64_t>(rng.below(2'000));
  return faults;
}

SimTransport::SimTransport(SimClock& clock, Respond respond, NetworkFaults faults,
                           std::uint64_t seed)
    : clock_(clock), respond_(std::move(respond)), faults_(faults), rng_(seed) {}

std::size_t SimTransport::add_target(HttpTarget target) {
  targets_.push_back(std::move(target));
  return targets_.size() - 1;
}

bool SimTransport::happens(double probability, const char* name) {
  if (probability <= 0 || rng_.uniform() >= probability) return false;
  ++counts_[name];
  return true;
}

std::int64_t SimTransport::latency_us() {
  const auto spread = static_cast<std::uint64_t>(faults_.latency_ms_max - faults_.latency_ms_min);
  return 1000 * (faults_.latency_ms_min + static_cast<std::int64_t>(rng_.below(spread + 1)));
}

bool SimTransport::in_episode() {
  if (happens(faults_.episode, "episode")) {
    episode_until_us_ =
        clock_.now_us() + 1000 * static_cast<std::int64_t>(rng_.below(
                                     static_cast<std::uint64_t>(faults_.episode_ms_max) + 1));
  }
  // An episode that has begun ends by the clock, also when faults have stopped.
  return clock_.now_us() < episode_until_us_;
}

void SimTransport::garble(HttpResult& result) {
  if (happens(faults_.cut_body, "cut_body")) {
    result.body.resize(rng_.below(result.body.size() + 1));
    if (!result.body.empty() && result.body.back() == '}') result.body.pop_back();
  } else if (happens(faults_.html, "html")) {
    result.body = "<html><body>Bad gateway</body></html>";
  } else if (happens(faults_.empty, "empty")) {
    result.body.clear();
  } else if (happens(faults_.error_inside, "error_inside")) {
    result.body = R"({"error":{"message":"upstream","type":"server_error","code":502}})";
  } else if (happens(faults_.wrong_shape, "wrong_shape")) {
    result.body = R"({"object":"list","data":[]})";
  } else if (happens(faults_.wrong_id, "wrong_id")) {
    for (const char* member : {R"("id":")", R"("model":")"}) {
      const std::size_t at = result.body.find(member);
      if (at != std::string::npos) result.body.insert(at + std::strlen(member), "other-");
    }
  }
}

HttpResult SimTransport::answer(const HttpRequest& request, std::int64_t& delay_us) {
  HttpResult result;
  result.id = request.id;
  result.request_body = request.body;
  delay_us = latency_us();
  const auto broken = [&](TransportError error, const char* words) {
    result.error = error;
    result.detail = words;
    return result;
  };
  if (in_episode()) {
    result.status = 429;
    result.body = R"({"error":{"message":"slow down","code":"rate_limit_exceeded"}})";
    if (rng_.below(2) == 0) result.rate.retry_after = std::to_string(rng_.below(5));
    return result;
  }
  if (happens(faults_.tls, "tls")) return broken(TransportError::kTls, "handshake");
  if (happens(faults_.reset, "reset")) return broken(TransportError::kConnection, "reset");
  if (happens(faults_.stall, "stall")) {
    delay_us = request.timeout_ms * 1000;
    return broken(TransportError::kTimeout, "timeout");
  }
  if (happens(faults_.oversized, "oversized")) {
    return broken(TransportError::kBodyTooLarge, "too large");
  }
  if (happens(faults_.server_error, "server_error")) {
    constexpr std::array<int, 4> kStatuses = {500, 502, 503, 529};
    result.status = kStatuses[rng_.below(kStatuses.size())];
    return result;
  }
  const std::string& url = targets_[request.target].url;
  const std::size_t host = url.find("//");
  const std::size_t path = url.find('/', host == std::string::npos ? 0 : host + 2);
  MockHttpResponse response = respond_({.method = request.body.empty() ? "GET" : "POST",
                                        .target = std::string_view(url).substr(path),
                                        .body = request.body});
  result.status = response.status;
  result.body = std::move(response.body);
  if (result.status == 200) garble(result);
  if (happens(faults_.drip, "drip")) delay_us *= 50;
  if (delay_us > request.timeout_ms * 1000) {
    delay_us = request.timeout_ms * 1000;
    result.body.clear();
    result.status = 0;
    return broken(TransportError::kTimeout, "timeout");
  }
  return result;
}

void SimTransport::submit(HttpRequest request) {
  UNDERSTUDY_ASSERT(request.target < targets_.size() && !due_of_.contains(request.id));
  std::int64_t delay_us = 0;
  HttpResult result = answer(request, delay_us);
  const std::int64_t due_us = clock_.now_us() + delay_us;
  due_of_.emplace(request.id, due_us);
  coming_.emplace(Due(due_us, request.id), std::move(result));
  in_flight_max_ = std::max(in_flight_max_, due_of_.size());
}

void SimTransport::cancel(std::uint64_t id) {
  const auto found = due_of_.find(id);
  if (found == due_of_.end()) return;
  coming_.erase(Due(found->second, id));
  due_of_.erase(found);
}

void SimTransport::poll(std::int64_t timeout_ms, std::vector<HttpResult>& ended) {
  const std::int64_t stop_us = clock_.now_us() + timeout_ms * 1000;
  const bool comes = !coming_.empty() && coming_.begin()->first.first <= stop_us;
  // Looking takes time too: whoever polls without waiting must not stand still.
  constexpr std::int64_t kLookUs = 100;
  clock_.advance_to(comes ? coming_.begin()->first.first
                          : std::max(stop_us, clock_.now_us() + kLookUs));
  while (!coming_.empty() && coming_.begin()->first.first <= clock_.now_us()) {
    due_of_.erase(coming_.begin()->first.second);
    ended.push_back(std::move(coming_.begin()->second));
    coming_.erase(coming_.begin());
  }
}

}  // namespace understudy
