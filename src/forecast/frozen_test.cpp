#include "forecast/frozen.hpp"

#include <gmock/gmock.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <set>

#include "base/hash.hpp"
#include "forecast/merkle.hpp"
#include "forecast/signature.hpp"

namespace understudy {
namespace {

using testing::HasSubstr;

Json small_document() {
  Json document = {{"schema", "understudy.forecast/1"},
                   {"understudy_version", "0.1.0"},
                   {"manifest_hash", "ab12"},
                   {"unit", "turn"}};
  int i = 0;
  for (const std::string& section : forecast_sections()) {
    // Names of other sections inside, numbers of every form, an escape, another script.
    document[section] = {{"counts", {{"estimates", ++i}}},
                         {"rate", 1.25e-7 * i},
                         {"text", "a \"design\": \n\u001f żółć"},
                         {"none", nullptr}};
  }
  return document;
}

TEST(Frozen, ThawsWhatItFroze) {
  const std::string bytes = freeze(small_document());
  const auto document = thaw(bytes);
  ASSERT_TRUE(document) << document.error().describe();
  EXPECT_EQ((*document)["design"], small_document()["design"]);
  EXPECT_EQ(write_json(*document, JsonStyle::kCanonical), bytes);
  EXPECT_EQ((*document)["digests"]["design"],
            hex(sha256(write_json(small_document()["design"], JsonStyle::kCanonical))));
}

// Where in the file each section stands, found without the code under test.
std::string section_of(const std::string& bytes, std::size_t at) {
  int depth = 0;
  bool in_string = false;
  std::string key, section;
  for (std::size_t i = 0; i <= at; ++i) {
    const char c = bytes[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
        if (depth == 1 && i + 1 < bytes.size() && bytes[i + 1] == ':') section = key;
      } else {
        key += c;
      }
    } else if (c == '"') {
      in_string = true;
      key.clear();
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return section;
}

TEST(Frozen, NamesTheSectionOfEveryFlippedBit) {
  const std::string bytes = freeze(small_document());
  const std::vector<std::string>& sections = forecast_sections();
  std::size_t wrongly_named = 0;
  std::set<std::string> named;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    // Two bits of every byte: each of the eight comes up along the way.
    for (const auto bit : {at % 8, 7 - at * 3 % 8}) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      const auto thawed = thaw(changed);
      ASSERT_FALSE(thawed) << "byte " << at << " bit " << bit;
      ASSERT_EQ(thawed.error().code, ErrorCode::kMismatch) << "byte " << at << " bit " << bit;
      const std::string section = section_of(bytes, at);
      // Inside a section's value nothing else may be blamed; between sections either side may.
      const bool is_section =
          std::find(sections.begin(), sections.end(), section) != sections.end();
      if (!is_section && section != "digests" && section != "commitment") continue;
      named.insert(section);
      if (thawed.error().message.find(section) == std::string::npos) ++wrongly_named;
    }
  }
  EXPECT_EQ(named.size(), sections.size() + 2);
  // The comma behind a section and the quotes of the next key belong to both.
  EXPECT_LT(wrongly_named, 2 * 12 * sections.size());
}

TEST(Frozen, SaysThatATextIsNoForecast) {
  for (const char* text : {"", "{}", "[1]", "not json", "{\"schema\":\"understudy.report/1\"}"}) {
    const auto thawed = thaw(text);
    ASSERT_FALSE(thawed) << text;
    EXPECT_EQ(thawed.error().code, ErrorCode::kInput) << text;
  }
}

TEST(Frozen, PrettyPrintedIsNotAsFrozen) {
  const Json document = *parse_json(freeze(small_document()));
  const auto thawed = thaw(write_json(document, JsonStyle::kPretty));
  ASSERT_FALSE(thawed);
  EXPECT_EQ(thawed.error().code, ErrorCode::kMismatch);
}

TEST(Merkle, IsOfTheSetAndTheKey) {
  const Digest key = sha256("key"), other = sha256("other");
  const auto leaf = [](const Digest& k, const char* name) { return keyed_hash(k, {"log", name}); };
  const Digest root = merkle_root({leaf(key, "a"), leaf(key, "b"), leaf(key, "c")});
  EXPECT_EQ(root, merkle_root({leaf(key, "c"), leaf(key, "a"), leaf(key, "b")}));
  EXPECT_NE(root, merkle_root({leaf(key, "a"), leaf(key, "b")}));
  EXPECT_NE(root, merkle_root({leaf(other, "a"), leaf(other, "b"), leaf(other, "c")}));
  EXPECT_NE(leaf(key, "ab"), keyed_hash(key, {"loga", "b"}));
  // RFC 6962: a leaf and a node of the same bytes differ.
  const Digest one = leaf(key, "a");
  EXPECT_NE(merkle_root({one}), one);
}

// RFC 4231, test case 2, over our own field hash: the HMAC itself is checked with OpenSSL's.
TEST(Merkle, KeyedHashIsHmac) {
  const Digest key = sha256("some key");
  const Digest message = Sha256().field("x").finish();
  unsigned char expected[32];
  std::size_t size = 0;
  EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, key.data(), key.size(), message.data(),
            message.size(), expected, sizeof expected, &size);
  EXPECT_EQ(std::string(as_bytes(keyed_hash(key, {"x"}))),
            std::string(reinterpret_cast<const char*>(expected), 32));
}

// RFC 8032, section 7.1, test 1: the empty message.
constexpr const char* kPrivate =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";

TEST(Signature, ChecksOnlyWhatWasSigned) {
  EVP_PKEY* made = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  BIO* secret = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(secret, made, nullptr, nullptr, 0, nullptr, nullptr);
  char* text = nullptr;
  const auto size = static_cast<std::size_t>(BIO_get_mem_data(secret, &text));
  const std::string pem(text, size);
  BIO_free(secret);
  EVP_PKEY_free(made);
  const auto signature = sign_ed25519(pem, "message");
  ASSERT_TRUE(signature);
  EXPECT_EQ(signature->size(), 64U);
  EXPECT_EQ(*signature, *sign_ed25519(pem, "message"));
  EXPECT_TRUE(check_ed25519(pem, "message", *signature));
  const auto edited = check_ed25519(pem, "messagf", *signature);
  ASSERT_FALSE(edited);
  EXPECT_EQ(edited.error().code, ErrorCode::kMismatch);
  const auto other = check_ed25519(kPrivate, "message", *signature);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kMismatch);
  EXPECT_EQ(check_ed25519(pem, "message", "short").error().code, ErrorCode::kMismatch);
  for (const char* bad : {"", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}) {
    EXPECT_EQ(sign_ed25519(bad, "m").error().code, ErrorCode::kUsage);
    EXPECT_EQ(check_ed25519(bad, "m", *signature).error().code, ErrorCode::kUsage);
  }
}

TEST(Signature, IsThatOfTheStandard) {
  const auto signature = sign_ed25519(kPrivate, "");
  ASSERT_TRUE(signature) << signature.error().describe();
  Digest first{};
  std::copy_n(signature->begin(), 32, reinterpret_cast<char*>(first.data()));
  EXPECT_EQ(hex(first), "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155");
}

}  // namespace
}  // namespace understudy
