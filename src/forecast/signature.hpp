#pragma once
// Detached Ed25519 signatures (RFC 8032) with keys as `openssl genpkey -algorithm ed25519` makes
// them. The 64 bytes are those of `openssl pkeyutl -sign -rawin`, so that anybody can check them
// without this program.

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace understudy {

/// `pem`: the text of a private key. kUsage: it is none, or not Ed25519. Deterministic.
[[nodiscard]] Result<std::string> sign_ed25519(std::string_view pem, std::string_view message);

/// `pem`: the text of a public key (or of the private one). kUsage: it is none, or not Ed25519;
/// kMismatch: the signature is not this key's for this message.
Result<void> check_ed25519(std::string_view pem, std::string_view message,
                           std::string_view signature);

}  // namespace understudy
