// Any bytes as a log: the splitter and the parser end, keep their promises about what they give,
// and chunks of another size change nothing. The text of what is read goes through
// de-identification, which must be at rest after one pass.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "ingest/deidentify/deidentifier.hpp"
#include "ingest/record_parser.hpp"
#include "ingest/record_splitter.hpp"

namespace {

using namespace understudy;

class Chunks final : public ByteSource {
 public:
  Chunks(std::string_view bytes, std::size_t chunk) : bytes_(bytes), chunk_(chunk) {}
  Result<Read> read(std::span<char> out) override {
    const std::size_t size = std::min({out.size(), chunk_, bytes_.size()});
    std::copy_n(bytes_.begin(), size, out.begin());
    bytes_.remove_prefix(size);
    return Read{.size = size, .damage = {}};
  }
  std::uint64_t file_bytes_read() const override { return 0; }

 private:
  std::string_view bytes_;
  std::size_t chunk_;
};

using Kind = RecordSplitter::Piece::Kind;

struct Seen {
  Kind kind;
  std::uint64_t line;
  std::uint64_t offset;
  std::size_t size;
  bool operator==(const Seen&) const = default;
};

void check_record(RecordParser& parser, std::string_view bytes) {
  const std::variant<LogRecord, RejectReason> parsed = parser.parse(bytes);
  const LogRecord* const record = std::get_if<LogRecord>(&parsed);
  if (record == nullptr) return;
  for (const Message& message : record->conversation.messages) {
    UNDERSTUDY_ASSERT(is_valid_utf8(message.content));
    const std::string once = Deidentifier().apply(message.content);
    UNDERSTUDY_ASSERT(is_valid_utf8(once));
    UNDERSTUDY_ASSERT(Deidentifier().apply(once) == once);
  }
}

std::vector<Seen> read(std::string_view log, std::size_t chunk, RecordParser* parser) {
  RecordSplitter splitter(std::make_unique<Chunks>(log, chunk), 512);
  std::vector<Seen> seen;
  for (;;) {
    const auto piece = splitter.next();
    UNDERSTUDY_ASSERT(piece.has_value());
    if (piece->kind == Kind::kEnd) return seen;
    seen.push_back({piece->kind, piece->line, piece->byte_offset, piece->bytes.size()});
    UNDERSTUDY_ASSERT(seen.size() <= log.size() + 2);
    if (piece->kind != Kind::kRecord) continue;
    UNDERSTUDY_ASSERT(log.substr(piece->byte_offset, piece->bytes.size()) == piece->bytes);
    if (parser != nullptr) check_record(*parser, piece->bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static RecordParser parser(LogOptions{.format = LogFormat::kAuto,
                                        .cluster_path = "metadata.user",
                                        .eligible = {{"metadata.consent", true}}});
  const std::string_view log(reinterpret_cast<const char*>(data), size);
  UNDERSTUDY_ASSERT(read(log, size + 1, &parser) == read(log, 7, nullptr));
  return 0;
}
