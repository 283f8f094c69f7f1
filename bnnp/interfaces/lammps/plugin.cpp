// Entry of the plugin: registers pair_style bnnp, after a look at whether LAMMPS is the one it was compiled
// for.
#include <mpi.h>

#include <cstring>
#include <string>

#include "lammps.h"
#include "pair_bnnp.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

// ---- the interface of LAMMPS' plugins, from its manual ("Writing plugins") ----

extern "C" {
typedef void* (*PairCreator)(void*);

struct PluginRecord {
    const char* version;
    const char* style;
    const char* name;
    const char* info;
    const char* author;
    PairCreator creator;
    void* handle;
};

typedef void (*Register)(PluginRecord*, void*);

// LAMMPS' C library; weak, since a program may come without it.
__attribute__((weak)) int lammps_version(void* handle);
__attribute__((weak)) int lammps_extract_setting(void* handle, const char* name);
__attribute__((weak)) void lammps_error(void* handle, int type, const char* text);
}

namespace {

void* create(void* lmp) { return new LAMMPS_NS::PairBNNP(static_cast<LAMMPS_NS::LAMMPS*>(lmp)); }

// A sentence on what does not fit; nothing if all does. Members of the class LAMMPS are not touched before.
std::string misfit(void* lmp) {
    const int version = lammps_version ? lammps_version(lmp) : BNNP_LAMMPS_VERSION;
    if (version != BNNP_LAMMPS_VERSION)
        return "compiled for LAMMPS " TEXT(BNNP_LAMMPS_VERSION) ", but this is LAMMPS " +
               std::to_string(version);
    const int bytes =
        lammps_extract_setting ? lammps_extract_setting(lmp, "tagint") : int(sizeof(LAMMPS_NS::tagint));
    if (bytes != int(sizeof(LAMMPS_NS::tagint)))
        return "compiled for atom IDs of " + std::to_string(sizeof(LAMMPS_NS::tagint)) +
               " bytes, but this LAMMPS has " + std::to_string(bytes);
#if defined(MPICH_VERSION) || defined(OMPI_MAJOR_VERSION)
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(library, &length);
    const bool open = std::strstr(library, "Open MPI") != nullptr;
#ifdef OMPI_MAJOR_VERSION
    if (!open)
        return std::string("compiled with Open MPI, but this LAMMPS runs with ") +
               std::string(library).substr(0, 40);
#else
    if (open) return "compiled with MPICH, but this LAMMPS runs with Open MPI";
#endif
#endif
    return "";
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void* lmp, void* handle,
                                                                         void* registrar) {
    const std::string mistake = misfit(lmp);
    if (!mistake.empty()) {
        const std::string text = "The plugin of pair_style bnnp was " + mistake +
                                 ". Make it again, with `bnnp --lammps-plugin`, against this LAMMPS";
        if (lammps_error) lammps_error(lmp, 2, text.c_str());  // on all ranks; does not return
        return;
    }
    PluginRecord record{static_cast<LAMMPS_NS::LAMMPS*>(lmp)->version,
                        "pair",
                        "bnnp",
                        "bnnp " BNNP_VERSION,
                        "the bnnp developers",
                        &create,
                        handle};
    reinterpret_cast<Register>(registrar)(&record, lmp);
}
