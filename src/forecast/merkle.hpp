#pragma once
// What a forecast says of the conversations that it rests on without saying which: one Merkle root
// of keyed hashes. Who holds the key (the study does) can show that a conversation is under the
// root or find it again in other logs; without the key nothing can be guessed back.

#include <span>
#include <string_view>
#include <vector>

#include "base/hash.hpp"

namespace understudy {

/// HMAC-SHA-256 (RFC 2104) of the fields' hash, each with its length before it.
[[nodiscard]] Digest keyed_hash(const Digest& key, std::initializer_list<std::string_view> fields);

/// Root of a binary Merkle tree over the leaves in sorted order: a set, whatever the order of
/// insertion. Leaves and nodes are hashed apart (RFC 6962), an odd node goes up as it is. The root
/// of none is the hash of nothing.
[[nodiscard]] Digest merkle_root(std::vector<Digest> leaves);

}  // namespace understudy
