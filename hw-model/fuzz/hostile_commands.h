// SPDX-License-Identifier: GPL-2.0-or-later
// Commands of software that means harm: any number, buffers anywhere, any content. Mostly commands
// that get far, because their fields are what they should be.
#pragma once

#include "byte_source.h"
#include "firmware_target.h"
#include "hw-model/firmware/common/command.h"
#include "sev_fields.h"

namespace rmpopt::hw
{

class hostile_commands
{
  public:
    hostile_commands(firmware_target &target, byte_source &in) : t_(target), in_(in) {}

    /// Mostly places where something is at stake.
    spa_t address()
    {
        constexpr std::array<spa_t, 12> bases{command_page, output_page, list_page, rmp_base,
                                              segment,      low.end(),   high.base, high.base,
                                              high.end(),   0xa0000,     region_1g, 0};
        constexpr std::array<std::uint64_t, 8> offsets{
            0, 0, 0, page_4k, page_4k - 8, page_2m - page_4k, page_2m, 1};
        const unsigned how = in_.pick(16);
        if (how == 0) {
            return in_.u64();
        }
        const spa_t a = bases[in_.pick(bases.size())] + offsets[in_.pick(offsets.size())];
        return how == 1 ? a - page_4k : how == 2 ? a | c_bit : a;
    }

    /// Mostly commands that exist.
    firmware_command command()
    {
        constexpr std::array known{snp_init,
                                   snp_init,
                                   snp_init_ex,
                                   snp_init_ex,
                                   snp_shutdown_ex,
                                   snp_df_flush,
                                   snp_platform_status,
                                   snp_page_reclaim,
                                   snp_page_reclaim,
                                   snp_config,
                                   snp_commit,
                                   snp_feature_info,
                                   init,
                                   shutdown,
                                   platform_status,
                                   df_flush,
                                   get_id,
                                   download_firmware,
                                   snp_gctx_create,
                                   snp_decommission,
                                   snp_activate,
                                   snp_activate_ex,
                                   snp_guest_status,
                                   snp_guest_request,
                                   snp_launch_start,
                                   snp_launch_update,
                                   snp_launch_update,
                                   snp_launch_update,
                                   snp_launch_finish,
                                   snp_dbg_decrypt,
                                   snp_dbg_encrypt,
                                   snp_page_move,
                                   snp_page_md_init,
                                   snp_page_set_state,
                                   snp_page_unsmash,
                                   snp_vlek_load};
        const unsigned how = in_.pick(16);
        if (how > 8) {
            return sev_commands[in_.pick(sev_commands.size())];
        }
        return how == 0 ? static_cast<firmware_command>(in_.byte() << 8 | in_.byte())
                        : known[in_.pick(known.size())];
    }

    /// Eight fields, at an address of any kind, which it returns. `fields` is what is there in the
    /// end: the hypervisor may be unable to write it.
    spa_t buffer(firmware_command c, command_fields &fields)
    {
        if (in_.pick(4) != 0) {
            make_well_formed(c, fields);
        } else {
            draw_fields(fields);
        }
        const spa_t place = in_.pick(4) == 0 ? address() : command_page;
        if (t_.may_hypervisor_write(place & ~c_bit)) {
            t_.m->memory().write(place & ~c_bit, fields.data(), command_bytes);
        }
        if (in_.pick(8) == 0) {
            prepare_list();
        }
        if (!t_.m->memory().read(place & ~c_bit, fields.data(), command_bytes)) {
            fields = {}; // at the end of RAM: a shorter buffer may still be readable
            std::uint64_t at = place & ~c_bit;
            for (std::uint64_t &f : fields) {
                t_.m->memory().read(at, &f, sizeof f);
                at += sizeof f;
            }
        }
        return place;
    }

  private:
    using enum firmware_command;

    spa_t guest_page(bool size_2m) { return high.base + (size_2m ? 0 : in_.pick(4) * page_4k); }

    /// Mostly a guest's.
    spa_t some_context()
    {
        return t_.guests().empty() || in_.pick(4) == 0 ? contexts[in_.pick(contexts.size())]
                                                       : t_.guests().rbegin()->first;
    }

    /// Fields of commands on guests.
    void make_well_formed_guest_command(firmware_command c, command_fields &fields)
    {
        const spa_t context = some_context();
        const std::uint64_t size_2m = in_.pick(8) == 0 ? 1 : 0;
        switch (c) {
        case snp_launch_start:
            fields = {context, 0x30000, contexts[0], in_.pick(4)};
            break;
        case snp_activate:
            fields = {context, 4 + in_.pick(3)};
            break;
        case snp_activate_ex:
            fields = {32, context, 5 | std::uint64_t{in_.pick(3)} << 32, address()};
            break;
        case snp_launch_update:
            fields = {context, in_.pick(8) << 1 | size_2m, guest_page(size_2m != 0),
                      std::uint64_t{in_.pick(2)} << 8};
            break;
        case snp_launch_finish:
            fields = {context, address(), address(), in_.pick(4) == 0 ? 1u : 0u};
            break;
        case snp_page_move:
            fields = {context, size_2m, guest_page(size_2m != 0), guest_page(false)};
            break;
        case snp_dbg_decrypt:
            fields = {context, guest_page(false), address()};
            break;
        case snp_dbg_encrypt:
            fields = {context, address(), guest_page(false)};
            break;
        case snp_guest_status:
        case snp_guest_request:
            fields = {context, address(), address()};
            break;
        case snp_page_unsmash:
            fields[0] = address();
            break;
        case snp_page_md_init:
            fields = {context, address()};
            break;
        case snp_page_set_state:
        case snp_vlek_load:
            fields = {16, list_page};
            break;
        default: // those that take a context only
            fields[0] = context;
        }
    }

    /// Fields that the command takes, so that it gets as far as to its addresses.
    void make_well_formed(firmware_command c, command_fields &fields)
    {
        fields = {};
        switch (c) {
        case snp_platform_status:
        case snp_page_reclaim:
            fields[0] = address();
            break;
        case get_id:
            fields = {address(), 64};
            break;
        case snp_feature_info:
            fields = {16, address()};
            break;
        case snp_shutdown_ex:
            fields[0] = 8 | std::uint64_t{in_.pick(2)} << 32;
            break;
        case snp_init_ex:
            fields = {in_.pick(4), list_page};
            break;
        case init:
            fields = {in_.pick(2), address(), page_2m};
            break;
        default:
            if (std::ranges::find(sev_commands, c) != sev_commands.end()) {
                make_sev_fields(
                    c, in_, [this] { return address(); }, fields);
            } else {
                make_well_formed_guest_command(c, fields);
            }
        }
    }

    void draw_fields(command_fields &fields)
    {
        for (std::uint64_t &f : fields) {
            switch (in_.pick(6)) {
            case 0:
                f = address();
                break;
            case 1:
                f = in_.pick(70);
                break;
            case 2: // two short fields
                f = std::uint64_t{in_.byte()} << 32 | in_.pick(70);
                break;
            case 3:
                f = in_.u64();
                break;
            default:
                f = 0;
            }
        }
    }

    void prepare_list()
    {
        if (!t_.may_hypervisor_write(list_page)) {
            return;
        }
        t_.m->memory().store<std::uint64_t>(list_page, in_.pick(4));
        for (unsigned i = 0; i < 3; ++i) {
            t_.m->memory().store(list_page + 8 + 16ull * i, align_down(address(), page_4k));
            t_.m->memory().store<std::uint64_t>(list_page + 16 + 16ull * i, in_.byte());
        }
    }

    firmware_target &t_;
    byte_source &in_;
};

} // namespace rmpopt::hw
