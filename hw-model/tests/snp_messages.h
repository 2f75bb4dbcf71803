// SPDX-License-Identifier: GPL-2.0-or-later
// Messages as a guest writes and reads them, with the key that it is given.
#pragma once

#include "hw-model/firmware/snp/guest_messages.h"

#include <optional>

namespace rmpopt::hw
{

/// Kinds of messages that a guest sends; firmware answers with the next number.
enum class guest_message_type : std::uint8_t {
    cpuid_request = 1,
    key_request = 3,
    report_request = 5,
    tsc_info_request = 17,
};

/// A message that is right in all respects; seal() is the last thing that happens to it.
inline guest_message make_message(guest_message_type type, std::span<const std::byte> payload,
                                  std::uint64_t seqno = 1, std::uint8_t vmpck = 0)
{
    guest_message m{};
    m.header.msg_seqno = seqno;
    m.header.algo = 1;
    m.header.hdr_version = 1;
    m.header.hdr_size = 0x60;
    m.header.msg_type = static_cast<std::uint8_t>(type);
    m.header.msg_version = 1;
    m.header.msg_size = static_cast<std::uint16_t>(payload.size());
    m.header.msg_vmpck = vmpck;
    std::ranges::copy(payload, m.payload.begin());
    return m;
}

inline void seal_message(guest_message &m, const aes256_key &key)
{
    const std::size_t size = std::min<std::size_t>(m.header.msg_size, m.payload.size());
    m.header.authtag = aes256_gcm_seal(key, m.header.nonce(), m.header.authenticated(),
                                       std::span(m.payload).first(size));
}

/// The payload of an answer, if its seal is right.
template <class Response>
std::optional<Response> open_message(guest_message m, const aes256_key &key)
{
    Response out{};
    if (m.header.msg_size != sizeof out ||
        !aes256_gcm_open(key, m.header.nonce(), m.header.authenticated(), m.header.authtag,
                         std::span(m.payload).first(sizeof out))) {
        return std::nullopt;
    }
    std::memcpy(&out, m.payload.data(), sizeof out);
    return out;
}

} // namespace rmpopt::hw
