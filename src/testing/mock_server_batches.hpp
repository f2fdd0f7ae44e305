#pragma once
// OpenAI's Files and Batches on top of the mock server's own answers, to rehearse batches against.
// A batch is worked off when it starts, says "in_progress" the first time that it is asked, then
// "completed"; answers come in reverse order, errors in a file of their own.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "testing/mock_server_http.hpp"

namespace understudy {

class MockBatches {
 public:
  /// Answers the body of a chat request.
  using Answer = std::function<MockHttpResponse(std::string_view body)>;
  /// Nothing for paths that are none of its own:
  ///   POST /v1/files, GET /v1/files/ID/content, POST /v1/batches, GET /v1/batches[/ID]
  [[nodiscard]] std::optional<MockHttpResponse> respond(const MockHttpRequest& request,
                                                        const Answer& answer);

 private:
  struct Batch {
    Json document;
    std::uint64_t times_asked = 0;
  };
  [[nodiscard]] MockHttpResponse upload(std::string_view body);
  [[nodiscard]] MockHttpResponse start(std::string_view body, const Answer& answer);
  [[nodiscard]] MockHttpResponse state(const std::string& id);
  [[nodiscard]] std::string keep(std::string content);

  std::map<std::string, std::string> files_;
  std::map<std::string, Batch> batches_;
};

}  // namespace understudy
