#include "report/html_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/assert.hpp"
#include "base/embedded.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "report/html_text.hpp"

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

std::string sentence_case(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
  return text;
}

std::string table(const Json& part) {
  const Json& columns = part.at("columns");
  std::string out = "<table class=\"detail\"><thead><tr>";
  for (const Json& column : columns) {
    out += "<th>" + html_line(column.get_ref<const std::string&>()) + "</th>";
  }
  out += "</tr></thead><tbody>\n";
  for (const Json& row : part.at("rows")) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string text = html_name(row.at(i).get_ref<const std::string&>());
      if (i == 0) {
        out += "<th scope=\"row\">" + text + "</th>";
      } else {
        out += fmt::format("<td data-label=\"{}\">{}</td>",
                           html_line(columns.at(i).get_ref<const std::string&>()), text);
      }
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table>\n";
}

std::string section(const Json& part) {
  std::string out = fmt::format("<section id=\"{}\"><h2>{}</h2>\n",
                                html_id(part.at("part").get_ref<const std::string&>()),
                                html_line(part.at("title").get_ref<const std::string&>()));
  if (!part.at("measured").get<bool>()) {
    out += fmt::format("<p class=\"alarm\">Not measured: {}.</p>\n",
                       html_line(part.at("why_not").get_ref<const std::string&>()));
  }
  if (part.contains("rows") && !part.at("rows").empty()) out += table(part);
  if (!part.at("lines").empty()) {
    out += "<ul>\n";
    for (const Json& line : part.at("lines")) {
      out += "<li>" + html_line(sentence_case(line.get_ref<const std::string&>())) + "</li>\n";
    }
    out += "</ul>\n";
  }
  return out + "</section>\n";
}

}  // namespace

std::string html_head(std::string_view title) {
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

std::string html_fidelity(const Json& document, std::string_view study_name) {
  std::string out = html_head(fmt::format("{}: is the replay real?", study_name)) + "<body>\n";
  const Json& parts = document.at("parts");
  const auto measured = std::count_if(
      parts.begin(), parts.end(), [](const Json& part) { return part.at("measured").get<bool>(); });
  out += fmt::format(
      "<header><p class=\"eyebrow\">Understudy · study {}</p>\n<h1>Is the replay real?</h1>\n"
      "<p class=\"lede\">A forecast from replayed conversations is as good as the replay is like "
      "production. {} of {} parts could be measured; the others say why not.</p>\n<nav "
      "aria-label=\"Sections\">",
      html_line(study_name), measured, parts.size());
  for (const Json& part : parts) {
    out += fmt::format("<a href=\"#{}\">{}</a>\n",
                       html_id(part.at("part").get_ref<const std::string&>()),
                       html_line(part.at("title").get_ref<const std::string&>()));
  }
  out += "</nav></header>\n<main>\n";
  for (const Json& part : parts) out += section(part);
  out += fmt::format("<p class=\"identity\">Made by understudy {}.</p>\n",
                     html_line(document.at("understudy_version").get_ref<const std::string&>()));
  return out + "</main>\n</body></html>\n";
}

}  // namespace understudy
