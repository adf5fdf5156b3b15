// Outline icons from Lucide (ISC), only those that the console uses.
import {
  ArrowDown, ArrowLeft, ArrowRightLeft, ArrowUpRight, BadgeCheck, Bed, Bell, BellOff, Calendar, Camera, Check, ChevronDown, ChevronLeft,
  CircleHelp, CloudOff, Clock, Copy, CopyX, CornerDownRight, Database, DoorClosed, DoorOpen, Download, Ellipsis, EyeOff,
  FileText, Flame, FlaskConical, Footprints, Funnel, Gauge, Hand, HeartHandshake, History, House, Hospital, Image, Inbox, KeyRound, Keyboard,
  LampDesk, LayoutDashboard, LifeBuoy, ListChecks, Lock, LogOut, Luggage, Map as MapIcon, MapPin, MapPinOff, Megaphone, Microwave, Moon, Phone, PhoneCall,
  PhoneMissed, Plus, Printer, RefreshCw, Search, Send, Settings, ShieldAlert, ShieldCheck, Siren, Sun, TriangleAlert, Truck,
  Undo2, Unplug, User, UserPlus, Users, Volume2, VolumeX, Waypoints, WifiOff, X,
} from "lucide";
import type { JSX } from "preact";

const ICONS = {
  down: ArrowDown, back: ArrowLeft, transfer: ArrowRightLeft, out: ArrowUpRight, badge: BadgeCheck, bed: Bed, bell: Bell, belloff: BellOff,
  calendar: Calendar, camera: Camera, check: Check, chevron: ChevronDown, left: ChevronLeft, help: CircleHelp, cloudoff: CloudOff,
  clock: Clock, copy: Copy, copyx: CopyX, corner: CornerDownRight, database: Database, door: DoorClosed, dooropen: DoorOpen,
  download: Download, more: Ellipsis, eyeoff: EyeOff, file: FileText, flame: Flame, flask: FlaskConical, feet: Footprints,
  funnel: Funnel, gauge: Gauge, hand: Hand, safe: HeartHandshake, history: History, house: House, hospital: Hospital, image: Image, inbox: Inbox,
  key: KeyRound, keyboard: Keyboard, lamp: LampDesk, board: LayoutDashboard, rescue: LifeBuoy, list: ListChecks, lock: Lock, logout: LogOut, luggage: Luggage,
  map: MapIcon, pin: MapPin, pinoff: MapPinOff, megaphone: Megaphone, appliance: Microwave, moon: Moon, phone: Phone, phonecall: PhoneCall, missed: PhoneMissed,
  plus: Plus, print: Printer, refresh: RefreshCw, search: Search, send: Send, settings: Settings, shield: ShieldAlert,
  shieldcheck: ShieldCheck, siren: Siren, sun: Sun, warn: TriangleAlert, truck: Truck, undo: Undo2, unplug: Unplug, user: User,
  useradd: UserPlus, users: Users, volume: Volume2, mute: VolumeX, flow: Waypoints, wifioff: WifiOff, x: X,
} as const;

export type IconName = keyof typeof ICONS;

export function Icon({ name, label, class: extra }: { name: IconName; label?: string; class?: string }): JSX.Element {
  const named = label ? { role: "img" as const, "aria-label": label } : { "aria-hidden": true };
  return (
    <svg class={`ic ${extra ?? ""}`} viewBox="0 0 24 24" {...named}>
      {ICONS[name].map(([Tag, attributes], index) => {
        const Shape = Tag as "path";
        return <Shape key={index} {...(attributes as object)} />;
      })}
    </svg>
  );
}

export function Logo(): JSX.Element {
  return (
    <span class="logo">
      <svg viewBox="0 0 24 24" aria-hidden="true">
        <path d="M12 1.6 21 6.8v10.4L12 22.4 3 17.2V6.8z" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linejoin="round" />
        <path d="M6.6 13.2h2.6l1.7-4.4 2.4 6.8 1.6-3.6h2.5" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" />
      </svg>
    </span>
  );
}
