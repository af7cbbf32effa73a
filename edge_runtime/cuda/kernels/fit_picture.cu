// A camera picture laid into the network's input, as contract.pictures.fit_picture lays it.
//
// One thread makes one pixel of the input. Weights are whole numbers, so that every GPU and the
// CPU give the same byte; the result is within one grey level of OpenCV's. Grey and NV12 pictures
// become colours pixel by pixel as they are read, exactly as edge_runtime.pixels turns them into BGR.

// How the picture's pixels along one axis make up one pixel of the input: `count` neighbours from
// `first`, weighted head, inner, .., inner, tail.
struct Taps {
    int first;
    int count;
    unsigned int head;
    unsigned int inner;
    unsigned int tail;
};

enum Method { LINEAR, AREA, AREA_MIXED };

// Pixel `at` of `place` pixels that show `picture` pixels. All weights of a pixel add up to
// 2 * place for LINEAR and to picture for the others.
__device__ static Taps taps_of(int at, int place, int picture, Method method) {
    Taps taps;
    taps.inner = 0;
    if (method == AREA) {
        // In units of 1 / place of a picture pixel this pixel covers begin .. end.
        int begin = at * picture;
        int end = begin + picture;
        int last = (end - 1) / place;
        taps.first = begin / place;
        taps.count = last - taps.first + 1;
        taps.head = taps.count == 1 ? picture : (taps.first + 1) * place - begin;
        taps.inner = place;
        taps.tail = end - last * place;
        return taps;
    }
    int part;
    int whole;
    if (method == LINEAR) {
        // Centres meet: (at + 0.5) * picture / place - 0.5, in units of 1 / (2 * place).
        int centre = (2 * at + 1) * picture - place;
        whole = 2 * place;
        centre = centre < 0 ? 0 : centre;
        taps.first = centre / whole;
        part = centre % whole;
    } else {
        // OpenCV's INTER_AREA where one axis shrinks and the other grows: two neighbours only.
        int over;
        whole = picture;
        taps.first = at * picture / place;
        over = (at + 1) * picture - (taps.first + 1) * place;
        part = over <= 0 ? 0 : over % picture;
    }
    if (taps.first >= picture - 1) {
        taps.first = picture - 1;
        part = 0;
    }
    taps.count = part == 0 ? 1 : 2;
    taps.head = whole - part;
    taps.tail = part;
    return taps;
}

__device__ static unsigned int weight_of(const Taps &taps, int index) {
    return index == 0 ? taps.head : index == taps.count - 1 ? taps.tail : taps.inner;
}

// As edge_runtime.pixels.Layout numbers them.
enum Layout { BGR, GREY, NV12 };

struct Colour {
    unsigned int blue;
    unsigned int green;
    unsigned int red;
};

__device__ static unsigned int level(int value) {
    value >>= 20;
    return value < 0 ? 0 : value > 255 ? 255 : (unsigned int)value;
}

// The colour of one pixel of a picture.
__device__ static Colour colour_at(
    const unsigned char *picture, int height, int pitch, int layout, int x, int y) {
    const unsigned char *row = picture + (size_t)y * pitch;
    if (layout == BGR) {
        const unsigned char *from = row + 3 * (size_t)x;
        return Colour{from[0], from[1], from[2]};
    }
    if (layout == GREY) {
        return Colour{row[x], row[x], row[x]};
    }
    // BT.601 of limited range, 20 bits behind the point
    const unsigned char *pair =
        picture + ((size_t)height + y / 2) * pitch + 2 * (size_t)(x / 2);
    int light = row[x] < 16 ? 0 : row[x] - 16;
    int u = pair[0] - 128;
    int v = pair[1] - 128;
    int base = light * 1220542 + (1 << 19);
    return Colour{
        level(base + 2116026 * u), level(base - 409993 * u - 852492 * v),
        level(base + 1673527 * v)};
}

// picture: rows of `pitch` bytes in one of the layouts: picture_height of them, and half as many of
// colour for NV12.
// input: (input_height, input_width, 3) bytes, every one of which is written.
// The picture lies at (left, top) in place_width x place_height pixels of the input; all else is 0.
// Grid: one thread per pixel, x across and y down.
extern "C" __global__ void fit_picture(
    const unsigned char *picture, unsigned char *input, int picture_width, int picture_height,
    int pitch, int layout, int input_width, int input_height, int left, int top, int place_width,
    int place_height) {
    int x = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    int y = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    if (x >= input_width || y >= input_height) {
        return;
    }
    unsigned char *pixel = input + 3 * ((size_t)y * input_width + x);
    x -= left;
    y -= top;
    if (x < 0 || y < 0 || x >= place_width || y >= place_height) {
        pixel[0] = pixel[1] = pixel[2] = 0;
        return;
    }

    bool narrower = place_width < picture_width;
    bool lower = place_height < picture_height;
    bool grows = place_width > picture_width || place_height > picture_height;
    Method method = !(narrower || lower) ? LINEAR : grows ? AREA_MIXED : AREA;
    Taps across = taps_of(x, place_width, picture_width, method);
    Taps down = taps_of(y, place_height, picture_height, method);

    unsigned long long sum[3] = {0, 0, 0};
    for (int j = 0; j < down.count; ++j) {
        unsigned int row[3] = {0, 0, 0};
        for (int i = 0; i < across.count; ++i) {
            unsigned int weight = weight_of(across, i);
            Colour seen = colour_at(
                picture, picture_height, pitch, layout, across.first + i, down.first + j);
            row[0] += weight * seen.blue;
            row[1] += weight * seen.green;
            row[2] += weight * seen.red;
        }
        unsigned long long weight = weight_of(down, j);
        sum[0] += weight * row[0];
        sum[1] += weight * row[1];
        sum[2] += weight * row[2];
    }
    unsigned long long total =
        method == LINEAR ? 4ull * place_width * place_height
                         : (unsigned long long)picture_width * picture_height;
    float share = 1.0f / (float)total;
    for (int c = 0; c < 3; ++c) {
        pixel[c] = (unsigned char)((float)sum[c] * share + 0.5f);
    }
}
