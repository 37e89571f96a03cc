/*
 * The stack unwinder of gcc 12 and later asks for _dl_find_object() on aarch64. glibc has it; musl has only
 * dl_iterate_phdr(), of which this makes it.
 */
#define _GNU_SOURCE
#include <link.h>
#include <stddef.h>

/* As in glibc's dlfcn.h, so far as the unwinder reads it. */
struct dl_find_object {
    unsigned long long flags;
    void *map_start, *map_end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

struct search {
    size_t pc;
    struct dl_find_object *result;
};

static int is_in(struct dl_phdr_info *object, size_t size, void *data)
{
    struct search *search = data;
    void *eh_frame = NULL, *start = NULL, *end = NULL;

    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        size_t address = object->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_GNU_EH_FRAME)
            eh_frame = (void *)address;
        if (segment->p_type == PT_LOAD && search->pc >= address && search->pc < address + segment->p_memsz) {
            start = (void *)address;
            end = (void *)(address + segment->p_memsz);
        }
    }
    if (!start || !eh_frame)
        return 0;
    search->result->flags = 0;
    search->result->map_start = start;
    search->result->map_end = end;
    search->result->link_map = NULL;
    search->result->eh_frame = eh_frame;
    return 1;
}

int _dl_find_object(void *pc, struct dl_find_object *result)
{
    struct search search = { (size_t)pc, result };

    return dl_iterate_phdr(is_in, &search) == 1 ? 0 : -1;
}
