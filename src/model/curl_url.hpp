#pragma once
// URLs as libcurl takes them apart, so that no part of the program reads one otherwise.

#include <curl/curl.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace understudy {

struct CurlUrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using CurlUrl = std::unique_ptr<CURLU, CurlUrlDeleter>;

/// Null where the text is no URL.
[[nodiscard]] inline CurlUrl parse_url(const std::string& text) {
  CurlUrl url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) url.reset();
  return url;
}

[[nodiscard]] inline std::optional<std::string> url_part(const CurlUrl& url, CURLUPart part,
                                                         unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return std::nullopt;
  std::string value(text);
  curl_free(text);
  return value;
}

[[nodiscard]] inline std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// In lower case, without the brackets of an IPv6 address.
[[nodiscard]] inline std::string url_host(const CurlUrl& url) {
  std::string host = ascii_lower(url_part(url, CURLUPART_HOST).value_or(""));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace understudy
