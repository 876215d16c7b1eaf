#include "checksum.h"

#include <string_view>

#include "check.h"

std::uint64_t of(std::string_view text) { return sir::checksum(text.data(), text.size()); }

int main() {
  // Published digests of XXH64 with seed 0.
  CHECK(of("") == 0xEF46DB3751D8E999);
  CHECK(of("a") == 0xD24EC4F1A98C6E5B);
  CHECK(of("abc") == 0x44BC2CF5AD770999);
  CHECK(of("Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1);
}
