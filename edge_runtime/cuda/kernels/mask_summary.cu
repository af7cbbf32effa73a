// What a host wants to know of the network's answer without reading it: how many pixels of each
// class, how sure the gas pixels are, whether any value is none that the network can give, and
// which frame it was.

// Words of one frame's summary. Class indices are those of contract.label_map.
enum Word { BACKGROUND, GAS_SMOKE, MACHINE, FOREIGN, GAS_SCORE, TICKET, WORDS };

// mask, score: (frames, height, width) bytes.
// ticket: one number that the host sent along with the frames; it comes back in every summary.
// summary: (frames, WORDS), zeroed before. Classes and GAS_SCORE count pixels of the valid field
// (left, top, valid_width, valid_height); FOREIGN counts everywhere.
// Grid: x strides over the pixels of a frame, y is the frame.
extern "C" __global__ void mask_summary(
    const unsigned char *mask, const unsigned char *score, const unsigned int *ticket,
    unsigned int *summary, int width, int height, int left, int top, int valid_width,
    int valid_height) {
    unsigned int counts[WORDS] = {0, 0, 0, 0, 0, 0};
    unsigned int pixels = (unsigned int)width * height;
    size_t frame = (size_t)blockIdx.y * pixels;
    unsigned int first = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned int stride = gridDim.x * blockDim.x;
    for (unsigned int at = first; at < pixels; at += stride) {
        unsigned int value = mask[frame + at];
        int x = (int)(at % width) - left;
        int y = (int)(at / width) - top;
        bool valid = x >= 0 && y >= 0 && x < valid_width && y < valid_height;
        counts[FOREIGN] += value > MACHINE;
        counts[BACKGROUND] += valid && value == BACKGROUND;
        counts[GAS_SMOKE] += valid && value == GAS_SMOKE;
        counts[MACHINE] += valid && value == MACHINE;
        counts[GAS_SCORE] += valid && value == GAS_SMOKE ? score[frame + at] : 0;
    }
    unsigned int *words = summary + (size_t)blockIdx.y * WORDS;
    for (int word = 0; word < TICKET; ++word) {
        if (counts[word]) {
            atomicAdd(words + word, counts[word]);
        }
    }
    if (first == 0) {
        words[TICKET] = *ticket;
    }
}
