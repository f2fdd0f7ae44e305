#include "forecast/merkle.hpp"

#include <algorithm>
#include <string>

namespace understudy {
namespace {

constexpr std::size_t kBlock = 64;  // bytes, of SHA-256

Digest node(const Digest& left, const Digest& right) {
  return Sha256().bytes("\x01").bytes(as_bytes(left)).bytes(as_bytes(right)).finish();
}

}  // namespace

Digest keyed_hash(const Digest& key, std::initializer_list<std::string_view> fields) {
  Sha256 message;
  for (const std::string_view field : fields) message.field(field);
  std::string inner(kBlock, '\x36'), outer(kBlock, '\x5c');
  for (std::size_t i = 0; i < key.size(); ++i) {
    inner[i] = static_cast<char>(inner[i] ^ static_cast<char>(key[i]));
    outer[i] = static_cast<char>(outer[i] ^ static_cast<char>(key[i]));
  }
  const Digest hashed = Sha256().bytes(inner).bytes(as_bytes(message.finish())).finish();
  return Sha256().bytes(outer).bytes(as_bytes(hashed)).finish();
}

Digest merkle_root(std::vector<Digest> leaves) {
  if (leaves.empty()) return sha256("");
  std::sort(leaves.begin(), leaves.end());
  const std::string_view leaf_mark("\0", 1);
  for (Digest& leaf : leaves) leaf = Sha256().bytes(leaf_mark).bytes(as_bytes(leaf)).finish();
  while (leaves.size() > 1) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < leaves.size(); i += 2) {
      leaves[kept++] = i + 1 < leaves.size() ? node(leaves[i], leaves[i + 1]) : leaves[i];
    }
    leaves.resize(kept);
  }
  return leaves.front();
}

}  // namespace understudy
