// SPDX-License-Identifier: GPL-2.0-or-later
// SNP_GUEST_REQUEST: a message that a guest has sealed for firmware, and firmware's answer. The
// host carries both and can read neither.
#include "hw-model/firmware/snp/guest_messages.h"

namespace rmpopt::hw
{

namespace
{

struct message_kind {
    std::uint8_t type, version; ///< the answer is of the next type and the same version
    std::size_t request_bytes, response_bytes;
    void (*answer)(const guest_call &call, const std::byte *request, std::byte *response);
};

template <auto handler> struct exchange;
template <class Response, class Request, Response (*handler)(const guest_call &, const Request &)>
struct exchange<handler> {
    static message_kind kind(std::uint8_t type, std::uint8_t version)
    {
        return {.type = type,
                .version = version,
                .request_bytes = sizeof(Request),
                .response_bytes = sizeof(Response),
                .answer = [](const guest_call &call, const std::byte *from, std::byte *to) {
                    Request request;
                    std::memcpy(&request, from, sizeof request);
                    const Response response = handler(call, request);
                    std::memcpy(to, &response, sizeof response);
                }};
    }
};

/// AMD 56860, MSG_TSC_INFO_REQ. No CPU model offers a secure TSC, so a guest's is neither scaled
/// nor shifted.
tsc_info_response answer_tsc_info_request(const guest_call &, const tsc_info_request &)
{
    tsc_info_response out{};
    out.guest_tsc_scale = 1ull << 32;
    return out;
}

/// MSG_CPUID_REQ and the messages of migration agents are not offered.
const std::array kinds{
    exchange<answer_key_request>::kind(3, 1),
    exchange<answer_key_request_2>::kind(3, 2),
    exchange<answer_report_request>::kind(5, 1),
    exchange<answer_tsc_info_request>::kind(17, 1),
};

/// The second version of MSG_KEY_REQ came with version 5 of reports.
bool is_offered(const firmware_call &c, const message_kind &k)
{
    return k.version == 1 || report_version(c.m.cpu().firmware) >= 5;
}

/// nullptr if firmware does not know such a message.
const message_kind *find_kind(const firmware_call &c, const guest_message_header &h)
{
    const auto *it = std::ranges::find_if(kinds, [&](const message_kind &k) {
        return k.type == h.msg_type && k.version == h.msg_version && is_offered(c, k);
    });
    return it == kinds.end() ? nullptr : it;
}

/// A header whose fields make sense. Guests may send more than the message has, as TamaGo does.
bool is_header(const guest_message_header &h, const message_kind *kind)
{
    using header = guest_message_header;
    return h.algo == header::aes_256_gcm && h.hdr_version == header::version &&
           h.hdr_size == sizeof h && h.msg_vmpck < vmpls &&
           reserved_zero(h.reserved_28, h.reserved_38, h.reserved_3d) && kind != nullptr &&
           h.msg_size >= kind->request_bytes && h.msg_size <= sizeof(guest_message::payload);
}

/// Each key has its own sequence, of which the next number comes; hardware answers AEAD_OFLOW to
/// another one (AMDESE/linux-svsm issue 22).
bool is_next(const guest_message_header &h, std::uint64_t messages)
{
    constexpr std::uint64_t last = ~std::uint64_t{0};
    return messages <= last - 2 && h.msg_seqno == messages + 1;
}

bool unseal(guest_message &m, const aes256_key &key)
{
    return aes256_gcm_open(key, m.header.nonce(), m.header.authenticated(), m.header.authtag,
                           std::span(m.payload).first(m.header.msg_size));
}

void seal(guest_message &m, const aes256_key &key)
{
    m.header.authtag = aes256_gcm_seal(key, m.header.nonce(), m.header.authenticated(),
                                       std::span(m.payload).first(m.header.msg_size));
}

guest_message answer(const guest_call &call, const guest_message &request, const message_kind &kind)
{
    guest_message out{};
    out.header.algo = guest_message_header::aes_256_gcm;
    out.header.hdr_version = guest_message_header::version;
    out.header.hdr_size = sizeof out.header;
    out.header.msg_seqno = request.header.msg_seqno + 1;
    out.header.msg_type = kind.type + 1;
    out.header.msg_version = kind.version;
    out.header.msg_size = static_cast<std::uint16_t>(kind.response_bytes);
    out.header.msg_vmpck = request.header.msg_vmpck;
    kind.answer(call, request.payload.data(), out.payload.data());
    return out;
}

} // namespace

/// AMD 56860, SNP_GUEST_REQUEST. A message that firmware does not accept changes nothing; what is
/// wrong inside one that it accepts, the answer tells.
firmware_status snp_guest_request(firmware_call &c, const snp_guest_request_buffer &b)
{
    const spa_t from = b.request_paddr, to = b.response_paddr;
    guest_message request{}; // a copy, which the host cannot change any more
    const bool good_request =
        is_aligned(from, page_4k) && from != to && c.m.memory().read(from, &request, page_4k);
    snp_guest *guest = nullptr;
    const message_kind *kind = nullptr;
    return in_order(
        [&] { return find_guest(c, b.gctx_paddr, guest); },
        [&] { return must(guest->state == snp_guest_state::running, invalid_guest_state); },
        must(good_request, invalid_address), [&] { return check_firmware_page(c, to); },
        [&] {
            kind = find_kind(c, request.header);
            return must(is_header(request.header, kind), invalid_param);
        },
        [&] {
            return must(is_next(request.header, guest->messages.at(request.header.msg_vmpck)),
                        aead_oflow);
        },
        [&] {
            const aes256_key key = communication_key(*guest, request.header.msg_vmpck);
            return must(unseal(request, key), bad_measurement);
        },
        [&] {
            const unsigned vmpl = request.header.msg_vmpck;
            guest_message response =
                answer({.c = c, .guest = *guest, .vmpl = vmpl}, request, *kind);
            seal(response, communication_key(*guest, vmpl));
            c.m.memory().store(to, response);
            guest->messages.at(vmpl) += 2;
        });
}

} // namespace rmpopt::hw
