// Entry of the plugin. It holds the library with the pair style, and loads it after a look at whether this is
// the LAMMPS that it was compiled for: a library that does not fit would end in a message on a symbol, or in
// a crash. Nothing here needs a symbol of LAMMPS, of MPI or of the C++ library.
#include <dlfcn.h>
#include <mpi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "lammps.h"
#include "lmptype.h"

// ---- the library: the file BNNP_LIBRARY, word for word ----

asm(".section .rodata\n"
    ".balign 16\n"
    "bnnp_library:\n"
    ".incbin \"" BNNP_LIBRARY
    "\"\n"
    "bnnp_library_end:\n"
    ".previous\n");

// ---- the interface of LAMMPS' plugins, from its manual ("Writing plugins") ----

extern "C" {
extern const char bnnp_library[] __attribute__((visibility("hidden")));
extern const char bnnp_library_end[] __attribute__((visibility("hidden")));

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
__attribute__((weak)) int lammps_config_has_mpi_support();
__attribute__((weak)) void lammps_error(void* handle, int type, const char* text);
}

namespace {

#if defined(OMPI_MAJOR_VERSION)
const char* const MPI_FAMILY = "Open MPI";
#elif defined(MPICH_VERSION) || defined(I_MPI_VERSION)
const char* const MPI_FAMILY = "MPICH";  // and those with its binary interface: Intel, MVAPICH, Cray
#else
const char* const MPI_FAMILY = "";
#endif

#if _GLIBCXX_USE_CXX11_ABI
const char* const OTHER_ABI = "old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0)";
#else
const char* const OTHER_ABI = "new C++ ABI (_GLIBCXX_USE_CXX11_ABI=1)";
#endif

struct Sentence {
    char text[1024] = "";

    template <typename... Words>
    const char* say(const char* format, Words... words) {
        std::snprintf(text, sizeof text, format, words...);
        return text;
    }
};

// The family of the MPI library of this process.
const char* running_mpi() {
    if (lammps_config_has_mpi_support && !lammps_config_has_mpi_support()) return "no MPI";
    const auto version =
        reinterpret_cast<int (*)(char*, int*)>(dlsym(RTLD_DEFAULT, "MPI_Get_library_version"));
    if (!version) return "no MPI";
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    version(library, &length);
    return std::strstr(library, "Open MPI") ? "Open MPI" : "MPICH";
}

// What does not fit, if that can be told without the library; null if all does. Members of the class LAMMPS
// are not touched before.
const char* misfit(void* lmp, Sentence& sentence) {
    const int version = lammps_version ? lammps_version(lmp) : BNNP_LAMMPS_VERSION;
    if (version != BNNP_LAMMPS_VERSION)
        return sentence.say("compiled for LAMMPS %d, but this is LAMMPS %d", BNNP_LAMMPS_VERSION, version);
    const int size = int(sizeof(LAMMPS_NS::tagint));
    const int bytes = lammps_extract_setting ? lammps_extract_setting(lmp, "tagint") : size;
    if (bytes != size)
        return sentence.say("compiled for atom IDs of %d bytes, but this LAMMPS has %d", size, bytes);
    const char* mpi = running_mpi();
    if (*MPI_FAMILY && std::strcmp(mpi, MPI_FAMILY) != 0)
        return sentence.say("compiled with %s, but this LAMMPS runs with %s", MPI_FAMILY, mpi);
    return nullptr;
}

// Why the library could not be loaded, from the loader's message.
const char* explain(const char* message, Sentence& sentence) {
    const bool symbol = std::strstr(message, "undefined symbol");
    const char* name = symbol ? std::strstr(message, "symbol: ") : nullptr;
    const auto has = [name](const char* part) { return name && std::strstr(name, part); };
    if (has("ompi_") || has("MPI_"))
        return sentence.say("compiled with another MPI than this LAMMPS has (%s)", name);
    if (has("LAMMPS_NS") && (has("__cxx11") || has("Ss")))
        return sentence.say("compiled with another C++ ABI than this LAMMPS, which has the %s (%s)",
                            OTHER_ABI, name);
    if (has("LAMMPS_NS")) return sentence.say("compiled for a LAMMPS that has more than this one (%s)", name);
    return sentence.say("compiled on a system that does not fit this one (%s)", message);
}

// The function of the library that makes a pair style; null, and a sentence, if it does not load.
PairCreator load(Sentence& sentence) {
    const int file = memfd_create("bnnp", MFD_CLOEXEC);
    const std::size_t size = std::size_t(bnnp_library_end - bnnp_library);
    std::size_t done = 0;
    for (ssize_t n = 1; file >= 0 && n > 0 && done < size; done += std::size_t(n > 0 ? n : 0))
        n = write(file, bnnp_library + done, size - done);
    char path[64];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    void* library = done == size ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
    void* creator = library ? dlsym(library, "create_pair_bnnp") : nullptr;
    const char* message = creator ? nullptr : dlerror();
    if (!creator) explain(message ? message : "no memory for it", sentence);
    if (file >= 0) close(file);
    return reinterpret_cast<PairCreator>(creator);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void* lmp, void* handle,
                                                                         void* registrar) {
    Sentence sentence, text;
    const PairCreator creator = misfit(lmp, sentence) ? nullptr : load(sentence);
    if (!creator) {
        text.say(
            "The plugin of pair_style bnnp was %s. Make it again, with `bnnp --lammps-plugin`, against "
            "this LAMMPS and its MPI",
            sentence.text);
        if (lammps_error) lammps_error(lmp, 2, text.text);  // on all ranks; does not return
        else std::fprintf(stderr, "ERROR: %s\n", text.text);
        return;
    }
    PluginRecord record{static_cast<LAMMPS_NS::LAMMPS*>(lmp)->version,
                        "pair",
                        "bnnp",
                        "bnnp " BNNP_VERSION,
                        "the bnnp developers",
                        creator,
                        handle};
    reinterpret_cast<Register>(registrar)(&record, lmp);
}
