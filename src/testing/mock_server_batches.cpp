#include "testing/mock_server_batches.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace understudy {
namespace {

MockHttpResponse json_response(const Json& document, int status = 200) {
  return {.status = status, .body = write_json(document, JsonStyle::kCanonical)};
}

MockHttpResponse error(int status, const char* code) {
  return json_response({{"error", {{"message", code}, {"code", code}}}}, status);
}

// The content of the form's part that is named "file"; the boundary is the body's first line.
std::optional<std::string_view> file_part(std::string_view body) {
  const std::string boundary(body.substr(0, body.find("\r\n")));
  if (!boundary.starts_with("--")) return std::nullopt;
  const std::size_t named = body.find("name=\"file\"");
  const std::size_t head_end =
      named == std::string_view::npos ? named : body.find("\r\n\r\n", named);
  if (head_end == std::string_view::npos) return std::nullopt;
  const std::size_t end = body.find("\r\n" + boundary, head_end);
  if (end == std::string_view::npos) return std::nullopt;
  return body.substr(head_end + 4, end - head_end - 4);
}

}  // namespace

std::string MockBatches::keep(std::string content) {
  std::string id = fmt::format("file-{}", files_.size() + 1);
  files_.emplace(id, std::move(content));
  return id;
}

MockHttpResponse MockBatches::upload(std::string_view body) {
  const auto content = file_part(body);
  if (!content) return error(400, "invalid_form");
  return json_response({{"id", keep(std::string(*content))}, {"object", "file"}});
}

MockHttpResponse MockBatches::start(std::string_view body, const Answer& answer) {
  const Result<Json> request = parse_json(body);
  if (!request || !request->is_object()) return error(400, "invalid_json");
  const auto file = files_.find(request->value("input_file_id", std::string()));
  if (file == files_.end()) return error(400, "no_such_file");
  std::string output, errors;
  const std::vector<std::string_view> lines = split(file->second, '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (trimmed(*line).empty()) continue;
    const Result<Json> item = parse_json(*line);
    if (!item || !item->contains("body")) return error(400, "invalid_json_line");
    const MockHttpResponse answered = answer((*item)["body"].dump());
    const Result<Json> document = parse_json(answered.body);
    const Json out = {{"id", "batch_req"},
                      {"custom_id", (*item)["custom_id"]},
                      {"response",
                       {{"status_code", answered.status},
                        {"request_id", "r"},
                        {"body", document ? *document : Json()}}},
                      {"error", nullptr}};
    (answered.status == 200 ? output : errors) += out.dump() + "\n";
  }
  const std::string id = fmt::format("batch_{}", batches_.size() + 1);
  Json batch = {{"id", id},
                {"object", "batch"},
                {"metadata", request->value("metadata", Json::object())},
                {"output_file_id", output.empty() ? Json() : Json(keep(std::move(output)))},
                {"error_file_id", errors.empty() ? Json() : Json(keep(std::move(errors)))}};
  batches_[id].document = std::move(batch);
  return state(id);
}

MockHttpResponse MockBatches::state(const std::string& id) {
  const auto found = batches_.find(id);
  if (found == batches_.end()) return error(404, "no_such_batch");
  Json document = found->second.document;
  const char* const words[] = {"validating", "in_progress", "completed"};
  const std::uint64_t times = std::min<std::uint64_t>(found->second.times_asked++, 2);
  document["status"] = words[times];
  if (times < 2) document["output_file_id"] = document["error_file_id"] = nullptr;
  return json_response(document);
}

std::optional<MockHttpResponse> MockBatches::respond(const MockHttpRequest& request,
                                                     const Answer& answer) {
  constexpr std::string_view kFiles = "/v1/files";
  constexpr std::string_view kBatches = "/v1/batches";
  constexpr std::string_view kContent = "/content";
  const std::string_view path = request.target.substr(0, request.target.find('?'));
  const bool posts = request.method == "POST";
  if (path == kFiles && posts) return upload(request.body);
  if (path == kBatches && posts) return start(request.body, answer);
  if (path == kBatches) {
    Json list = Json::array();
    for (const auto& [id, batch] : batches_) list.push_back(batch.document);
    return json_response({{"object", "list"}, {"data", std::move(list)}});
  }
  if (path.starts_with("/v1/batches/")) return state(std::string(path.substr(12)));
  if (path.starts_with("/v1/files/") && path.ends_with(kContent)) {
    const auto found =
        files_.find(std::string(path.substr(10, path.size() - 10 - kContent.size())));
    if (found == files_.end()) return error(404, "no_such_file");
    return MockHttpResponse{.body = found->second, .content_type = "application/octet-stream"};
  }
  return std::nullopt;
}

}  // namespace understudy
