/**
 * A still picture as H.264 video (ITU-T H.264), without compression: the first frame contains its samples unchanged
 * (I_PCM macroblocks, clause 7.3.5), each further one says that nothing has changed (P_Skip). Constrained Baseline, which
 * every player of H.264 supports. A frame of 720 × 720 takes 780 kB, each further one about ten bytes.
 */

/** A picture in Y'CbCr 4:2:0 (BT.709, 16 to 235), in whole macroblocks, cropped to `width` and `height`. */
export interface Planes {
  /** Even. */
  width: number;
  /** Even. */
  height: number;
  /** Of the planes: multiples of 16. */
  codedWidth: number;
  codedHeight: number;
  luma: Uint8Array;
  blue: Uint8Array;
  red: Uint8Array;
}

/** Constrained Baseline: profile 66 with constraint_set0 and 1. */
const PROFILE = 66, CONSTRAINTS = 0xc0;
/** 3.1: up to 3,600 macroblocks. */
const LEVEL = 31;
/** mb_type of I_PCM in an I slice, ue(25), up to the next byte. */
const PCM_TYPE = [0x0d, 0x00];
/** NAL units: a slice that others refer to, an IDR slice, and the two parameter sets. */
const SLICE = 0x41, IDR_SLICE = 0x65, SEQUENCE = 0x67, PICTURE = 0x68;
/** Values of frame_num; it is written in four bits. */
const FRAME_NUMBERS = 16;

/** Bits, most significant first, with the codes of clause 9.1. */
class BitWriter {
  readonly #bytes: number[] = [];
  #rest = 0;
  #count = 0;

  bits(value: number, count: number): this {
    for (let bit = count - 1; bit >= 0; bit--) {
      this.#rest = this.#rest << 1 | (value >> bit & 1);
      this.#count++;
      if (this.#count === 8) {
        this.#bytes.push(this.#rest);
        this.#rest = 0;
        this.#count = 0;
      }
    }
    return this;
  }

  /** ue(v) */
  unsigned(value: number): this {
    const length = 31 - Math.clz32(value + 1);
    return this.bits(0, length).bits(value + 1, length + 1);
  }

  /** Zeros up to the next byte. */
  align(): this {
    return this.bits(0, (8 - this.#count) % 8);
  }

  /** All bytes, closed by rbsp_trailing_bits. */
  closed(): number[] {
    this.bits(1, 1).align();
    return this.#bytes;
  }

  /** All bytes; must be aligned. */
  get bytes(): readonly number[] {
    return this.#bytes;
  }
}

/** A NAL unit: three bytes that look like the start of another get a byte in between (clause 7.4.1). */
function nal(type: number, payload: Iterable<number>): Uint8Array<ArrayBuffer> {
  const unit = [type];
  let zeros = 0;
  for (const byte of payload) {
    if (zeros >= 2 && byte <= 3) {
      unit.push(3);
      zeros = 0;
    }
    unit.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return new Uint8Array(unit);
}

/** How to decode the stream, as an MP4 file has it: the codec's name (RFC 6381) and its avcC box (ISO/IEC 14496-15). */
export function stillConfig(
  { width, height, codedWidth, codedHeight }: Planes,
): { codec: string; description: Uint8Array<ArrayBuffer> } {
  const sequence = nal(
    SEQUENCE,
    new BitWriter()
      .bits(PROFILE, 8).bits(CONSTRAINTS, 8).bits(LEVEL, 8)
      .unsigned(0) // seq_parameter_set_id
      .unsigned(0) // log2_max_frame_num_minus4
      .unsigned(2) // pic_order_cnt_type: frames are shown as they are decoded
      .unsigned(1) // max_num_ref_frames
      .bits(0, 1) // gaps_in_frame_num_value_allowed_flag
      .unsigned(codedWidth / 16 - 1).unsigned(codedHeight / 16 - 1)
      .bits(1, 1) // frame_mbs_only_flag
      .bits(1, 1) // direct_8x8_inference_flag
      .bits(1, 1) // frame_cropping_flag, in units of two samples
      .unsigned(0).unsigned((codedWidth - width) / 2)
      .unsigned(0).unsigned((codedHeight - height) / 2)
      .bits(1, 1) // vui_parameters_present_flag
      .bits(0, 2) // aspect_ratio_info_present_flag, overscan_info_present_flag
      .bits(1, 1).bits(5, 3).bits(0, 1).bits(1, 1) // video_signal_type: limited range, with colours
      .bits(1, 8).bits(1, 8).bits(1, 8) // BT.709
      .bits(0, 5) // chroma location, timing, NAL and VCL HRD, pic_struct
      .bits(0, 1) // bitstream_restriction_flag
      .closed(),
  );
  const picture = nal(
    PICTURE,
    new BitWriter()
      .unsigned(0).unsigned(0) // pic_parameter_set_id, seq_parameter_set_id
      .bits(0, 2) // CAVLC, bottom_field_pic_order_in_frame_present_flag
      .unsigned(0) // num_slice_groups_minus1
      .unsigned(0).unsigned(0) // num_ref_idx_l0 and l1 default_active_minus1
      .bits(0, 3) // weighted_pred_flag, weighted_bipred_idc
      .unsigned(0).unsigned(0).unsigned(0) // QP, QS, chroma offset: se(0)
      .bits(1, 1) // deblocking_filter_control_present_flag
      .bits(0, 2) // constrained_intra_pred_flag, redundant_pic_cnt_present_flag
      .closed(),
  );
  const hex = [PROFILE, CONSTRAINTS, LEVEL]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return {
    codec: `avc1.${hex}`,
    description: new Uint8Array([
      1,
      PROFILE,
      CONSTRAINTS,
      LEVEL,
      0xff, // lengths have four bytes
      0xe1, // one sequence parameter set
      ...[sequence.length >> 8, sequence.length & 0xff, ...sequence],
      1,
      ...[picture.length >> 8, picture.length & 0xff, ...picture],
    ]),
  };
}

/** With its length in front, as MP4 has it. */
function sample(unit: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(unit.length + 4);
  new DataView(bytes.buffer).setUint32(0, unit.length);
  bytes.set(unit, 4);
  return bytes;
}

/** The first frame: the picture itself. */
export function stillFrame(planes: Planes): Uint8Array<ArrayBuffer> {
  const { codedWidth, codedHeight, luma, blue, red } = planes;
  const columns = codedWidth / 16, rows = codedHeight / 16;
  const header = new BitWriter()
    .unsigned(0) // first_mb_in_slice
    .unsigned(7) // slice_type: I, as all of the picture
    .unsigned(0) // pic_parameter_set_id
    .bits(0, 4) // frame_num
    .unsigned(0) // idr_pic_id
    .bits(0, 2) // no_output_of_prior_pics_flag, long_term_reference_flag
    .unsigned(0) // slice_qp_delta: se(0)
    .unsigned(1) // disable_deblocking_filter_idc
    .unsigned(25).align().bytes; // the first macroblock's mb_type
  // Samples are never 0, so that nothing in here looks like the start of a NAL unit.
  const unit = new Uint8Array(
    1 + header.length + columns * rows * 386 - PCM_TYPE.length + 1,
  );
  unit[0] = IDR_SLICE;
  unit.set(header, 1);
  let at = 1 + header.length;
  for (let block = 0; block < columns * rows; block++) {
    const column = block % columns, row = Math.floor(block / columns);
    if (block > 0) {
      unit.set(PCM_TYPE, at);
      at += PCM_TYPE.length;
    }
    for (const [plane, size] of [[luma, 16], [blue, 8], [red, 8]] as const) {
      const stride = columns * size;
      for (let line = 0; line < size; line++) {
        const from = (row * size + line) * stride + column * size;
        unit.set(plane.subarray(from, from + size), at);
        at += size;
      }
    }
  }
  unit[at] = 0x80; // rbsp_trailing_bits
  return sample(unit);
}

/** The frame of that number, counted from 0: as the one before it. */
export function repeatedFrame(
  { codedWidth, codedHeight }: Planes,
  number: number,
): Uint8Array<ArrayBuffer> {
  return sample(nal(
    SLICE,
    new BitWriter()
      .unsigned(0) // first_mb_in_slice
      .unsigned(5) // slice_type: P, as all of the picture
      .unsigned(0) // pic_parameter_set_id
      .bits(number % FRAME_NUMBERS, 4) // frame_num
      .bits(0, 3) // num_ref_idx_active_override, ref_pic_list_modification, adaptive_ref_pic_marking_mode
      .unsigned(0) // slice_qp_delta: se(0)
      .unsigned(1) // disable_deblocking_filter_idc
      .unsigned(codedWidth * codedHeight / 256) // mb_skip_run: all of them
      .closed(),
  ));
}
